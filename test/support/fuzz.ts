/** How often a property is tried: `usual` in a test run, FUZZ_RUNS times in `npm run fuzz`. */
export const fuzzRuns = (usual: number): number => Number(process.env['FUZZ_RUNS'] ?? usual)
