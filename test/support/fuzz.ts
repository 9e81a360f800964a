/** How often a property is tried: `usual` in a test run, FUZZ_RUNS times in `npm run fuzz`. */
export const fuzzRuns = (usual: number): number => Number(process.env['FUZZ_RUNS'] ?? usual)

/** Whether everything is to be tried that a test run samples, such as every prefix of every vector. */
export const fuzzing = process.env['FUZZ_RUNS'] !== undefined
