// loop.js INJECT_ADDON MODEL SHARE: a campaign like that of campaign.h, for the functions of the
// Node.js package. Only every SHARE-th call of each function fails. Needs
// LD_PRELOAD=libsidecall-inject.so. Prints each defect, and at the end a line of JSON with the
// numbers of failures and defects. Gives up after MOST_DEFECTS defects, without that line.
const { open, openSync } = require('../../bindings/node')

const [addon, path, shareText] = process.argv.slice(2)
const inject = require(addon)
const share = Number(shareText)

const PENGUIN = {
  bill_length_mm: 39.1,
  bill_depth_mm: 18.7,
  flipper_length_mm: 181,
  body_mass_g: 3750,
  island: 'Torgersen',
  sex: 'male'
}
const EINTR = 4
const LASTING = 2 ** 30 // a number of calls that stands for all later calls
const MOST_DEFECTS = 10

function expectAdelie(answer) {
  if (answer.label !== 'Adelie') throw new Error(`expected Adelie, got ${JSON.stringify(answer)}`)
}

function makeScenarios(model) {
  return {
    'node-open': () => openSync(path).close(),
    'node-open-async': async () => (await open(path)).close(),
    'node-records': () => expectAdelie(model.predictSync(PENGUIN)),
    'node-many-records': () => expectAdelie(model.predictSync([PENGUIN, PENGUIN])[1]),
    'node-records-async': async () => expectAdelie(await model.predict(PENGUIN)),
    'node-workspace': () => model.call({ rows: 2 }).close()
  }
}

// Runs a scenario. Returns a text if it ended neither with success nor with a typed error.
async function attempt(run) {
  try {
    await run()
  } catch (error) {
    if (error.code === 'INTERNAL' || typeof error.code !== 'string') return `${error}`
  }
  return undefined
}

async function main() {
  const model = openSync(path)
  const functions = inject.functions()
  let failures = 0
  let defects = 0
  for (const [name, run] of Object.entries(makeScenarios(model))) {
    for (let i = 0; i < 3; i++) await run()
    for (const [number, { name: functionName, errors }] of functions.entries()) {
      for (const error of errors) {
        for (const count of [1, error === EINTR ? 20 : LASTING]) {
          for (let n = 1 + ((7 * number + 3 * Math.abs(error)) % share); ; n += share) {
            inject.plan(number, n, error, count)
            inject.start()
            let wrong = await attempt(run)
            const failed = inject.stop()
            inject.plan(0, 0, 0, 0)
            try {
              await run()
            } catch (after) {
              wrong ??= `the next run failed: ${after}`
            }
            if (wrong !== undefined) {
              console.log(`${name}: ${functionName} call ${n}, ${count} times, ${error}: ${wrong}`)
              if (++defects === MOST_DEFECTS) return 1
            }
            if (failed === 0) break
            failures++
          }
        }
      }
    }
  }
  model.close()
  console.log(JSON.stringify({ failures, defects }))
  return defects === 0 ? 0 : 1
}

main().then(code => {
  process.exitCode = code
})
