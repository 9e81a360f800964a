import { runTpmProcess } from '../../agent/tpm/index.ts'

// What `holdfast __tpm-process` does, for tests that run from source.
await runTpmProcess()
