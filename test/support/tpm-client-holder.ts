import { makeDigest, pcrIndex } from '../../attestation/tpm2/index.ts'
import { tpmClient } from './tpm-client.ts'

// An agent in miniature, for tests that kill it: argv is the TCTI and what to be doing. It prints the TPM process's id.
const [tcti = '', doing = 'idle'] = process.argv.slice(2)
const client = tpmClient(tcti)
await client.readClock()
if (doing === 'extend') client.extend(pcrIndex(15), [makeDigest('sha256', new Uint8Array(32))]).catch(() => {})
process.stdout.write(`${client.processId}\n`)
setInterval(() => {}, 1000)
