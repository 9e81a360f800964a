import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/**
 * Builds what runs: the bundle (one entry, one chunk for each lazily loaded command), the static C program, and the stage1
 * image that holds it. Packages with native code or data files of their own stay outside the bundle.
 */
const root = fileURLToPath(new URL('..', import.meta.url))
const manifest: unknown = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const version =
  typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : ''

const OUTSIDE = [
  'ffi-napi',
  'koffi',
  'better-sqlite3',
  '@cedar-policy/cedar-wasm',
  'bufferutil',
  'utf-8-validate',
  'pino',
  'ws',
  'node-forge',
]

mkdirSync(`${root}build`, { recursive: true })
for (const name of readdirSync(`${root}build`)) {
  if (/\.js(\.map)?$/.test(name)) rmSync(`${root}build/${name}`) // chunks are named after their content: old ones would pile up
}
execFileSync('make', ['-s', '-C', 'native/stage1'], { cwd: root, stdio: 'inherit' })
await build({
  absWorkingDir: root,
  entryPoints: { holdfast: 'holdfast.ts' },
  outdir: 'build',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  external: [...OUTSIDE, ...OUTSIDE.map((name) => `${name}/*`)],
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: false,
  sourcemap: 'linked',
  define: { __HOLDFAST_VERSION__: JSON.stringify(version) },
  // CommonJS packages inside the bundle ask for Node's own modules by require
  banner: { js: "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);" },
  logLevel: 'warning',
})
chmodSync(`${root}build/holdfast.js`, 0o755)
const { buildNspawnStage1 } = await import('../stage1/flavours/nspawn/index.ts')
await buildNspawnStage1({ program: `${root}build/holdfast-stage1`, output: `${root}build/stage1-nspawn.aci` })
