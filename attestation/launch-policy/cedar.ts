import { createRequire } from 'node:module'
import type * as Cedar from '@cedar-policy/cedar-wasm/nodejs'

/**
 * The package's Node build is CommonJS that finds its WebAssembly file beside itself; its declaration says `import`,
 * which would take the browser's way of loading.
 */
export const cedar = createRequire(import.meta.url)('@cedar-policy/cedar-wasm/nodejs') as typeof Cedar // typed by its own .d.ts
export type { DetailedError, PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'
