import { copiedVectors, externalVectors, skipWithoutVectors, type VectorSet } from './vectors.ts'

/** Of the EK certificates copied from swtpm: path under test/vectors/endorsement. */
export function ekVector(set: 'swtpm' | 'vm', file: string): Uint8Array {
  return copiedVectors(`endorsement/${set}`).read(file)
}

/** Vectors read where they lie; skips the test in a clone without them. */
export function needVectors(test: Mocha.Context, name: string): VectorSet {
  return externalVectors(name) ?? skipWithoutVectors(test, name)
}
