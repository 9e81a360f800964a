import fc from 'fast-check'
import { fuzzRuns } from '../support/fuzz.ts'

// Loaded before the tests by main.ts: for properties that name no number of their own, and an end for all of them.
fc.configureGlobal({
  numRuns: fuzzRuns(100),
  interruptAfterTimeLimit: 1000 * Number(process.env['FUZZ_SECONDS'] ?? 15),
  markInterruptAsFailure: false,
})
