import { createRequire } from 'node:module'
import fastCheck from 'fast-check'
import { fuzzRuns } from '../support/fuzz.ts'

// Loaded before the tests by main.ts: for properties that name no number of their own, and an end for all of them.
// Mocha takes some files by require() and others by import, and fast-check is another instance for each.
for (const fc of [fastCheck, createRequire(import.meta.url)('fast-check') as typeof fastCheck]) {
  fc.configureGlobal({
    numRuns: fuzzRuns(100),
    interruptAfterTimeLimit: 1000 * Number(process.env['FUZZ_SECONDS'] ?? 15),
    markInterruptAsFailure: false,
  })
}
