// The entry of the package for `import`: re-exports index.js, so that both share one copy of the
// state.
import sidecall from './index.js'

export const { open, openSync, engine, SidecallError, version } = sidecall
