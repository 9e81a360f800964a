import { runAgent } from '../../../agent/main.ts'
import { runTpmProcess } from '../../../agent/tpm/index.ts'

// What holdfast.ts does for `holdfast agent`, from source: tests of processes need no build.
if (process.argv[2] === '__tpm-process') await runTpmProcess()
else await runAgent(process.argv[2] ?? '')
