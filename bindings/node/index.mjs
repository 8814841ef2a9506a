// The same package for `import`: named exports of index.js, one copy of everything.
import sidecall from './index.js'

export const { open, openSync, engine, SidecallError, version } = sidecall
