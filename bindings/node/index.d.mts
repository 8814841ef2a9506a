// What `import` sees is what `require` sees.
export * from './index.js'
