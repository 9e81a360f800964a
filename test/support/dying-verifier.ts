// A verifier that is killed after a launch was decided and committed, before anybody is told. Argument: its
// configuration.
import { Store } from '../../attestation/store/index.ts'
import { readVerifierConfig, runVerifier } from '../../attestation/verifier/index.ts'

const saveDecision = Store.prototype.saveDecision
Store.prototype.saveDecision = async function (this: Store, ...args) {
  await saveDecision.apply(this, args)
  process.kill(process.pid, 'SIGKILL')
  await new Promise(() => {}) // the signal is on its way
}
await runVerifier(readVerifierConfig(process.argv[2] ?? ''))
