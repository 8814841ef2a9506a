// Asks a model about one penguin, and shows how a bad record is refused.   node penguins.js [MODEL]
// MODEL is a file or the address of a server, such as shm:penguins; penguins.onnx by default.
import { open, SidecallError } from 'sidecall'

const penguin = {
  island: 'Biscoe',
  sex: null, // a missing value; the feature may also be left out
  bill_length_mm: 48.2,
  bill_depth_mm: 14.3,
  flipper_length_mm: 215,
  body_mass_g: 4900
}

async function ask(model) {
  const { label, probabilities } = await model.predict(penguin)
  console.log(`label: ${label}`)
  console.log(`probabilities.Gentoo: ${probabilities.Gentoo.toFixed(4)}`)

  try {
    await model.predict({ ...penguin, bill_length_mm: 'long', body_mass_g: 'heavy' })
  } catch (error) {
    if (error.family !== 'data') throw error // the run itself has failed
    for (const fault of error.faults) console.log(`refused: ${fault.message}`)
  }
}

try {
  const model = await open(process.argv[2] ?? 'penguins.onnx')
  await ask(model)
  model.close()
} catch (error) {
  if (!(error instanceof SidecallError)) throw error
  console.error(`${error.message} (${error.code})`)
  process.exitCode = 1
}
