import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { buildKvmStage1, parseModuleList } from '../stage1/flavours/kvm/index.ts'
import { buildNspawnStage1 } from '../stage1/flavours/nspawn/index.ts'

/**
 * Builds what runs into build/: the static C programs, the stage1 image around one of them, and the bundles.
 *
 * holdfast.js holds the dispatcher alone, so that no command pays for the parsing of another. `holdfast run` and what
 * people wait for often are CommonJS files of their own: Node starts one some 15 ms sooner than a graph of ES modules.
 * Every other command is an ES module beside it, sharing chunks.
 */
const root = fileURLToPath(new URL('..', import.meta.url))
const manifest: unknown = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const version =
  typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : ''

/** Packages with native code or data files of their own stay outside the bundles. */
const OUTSIDE = [
  ...['ffi-napi', 'koffi', 'better-sqlite3', '@cedar-policy/cedar-wasm', 'bufferutil', 'utf-8-validate'],
  ...['pino', 'ws', 'node-forge', 'fastify', '@fastify/swagger'],
]
/** What is one CommonJS file each. */
const COMMON_JS: ReadonlySet<string> = new Set(['./stage1/cli/run.ts', './stage1/cli/list.ts'])

/** Name of the module that a lazily imported source file becomes, './agent/cli/log.ts' for example 'agent-cli-log'. */
function moduleName(source: string): string {
  return source.replace(/^\.\//, '').replace(/\.ts$/, '').replaceAll('/', '-')
}

/** Leaves the dispatcher's imports to be loaded when they are called for, and notes which there are. */
function lazily(found: Map<string, string>): Plugin {
  return {
    name: 'lazily',
    setup: ({ onResolve, onLoad }) => {
      onResolve({ filter: /^\.\// }, ({ path, kind, importer }) => {
        if (kind !== 'dynamic-import' || !importer.endsWith('/holdfast.ts')) return undefined
        if (COMMON_JS.has(path)) return { path, namespace: 'common-js' }
        found.set(moduleName(path), path)
        return { path: `./${moduleName(path)}.mjs`, external: true }
      })
      // by require: import() would start Node's loader of ES modules, which is most of what a CommonJS file saves
      onLoad({ filter: /./, namespace: 'common-js' }, ({ path }) => ({
        contents: `module.exports = require('./${moduleName(path)}.cjs')`,
      }))
      onResolve({ filter: /./, namespace: 'common-js' }, ({ path }) => ({ path, external: true }))
    },
  }
}

const common = {
  absWorkingDir: root,
  outdir: 'build',
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  external: [...OUTSIDE, ...OUTSIDE.map((name) => `${name}/*`)],
  minify: true,
  keepNames: true, // class names are in error messages
  sourcemap: 'linked',
  metafile: true,
  logLevel: 'warning',
} satisfies BuildOptions
const define = { __HOLDFAST_VERSION__: JSON.stringify(version) }

mkdirSync(`${root}build`, { recursive: true })
for (const program of ['stage1', 'stage0']) {
  execFileSync('make', ['-s', '-C', `native/${program}`], { cwd: root, stdio: 'inherit' })
}
await buildNspawnStage1({ program: `${root}build/holdfast-stage1`, output: `${root}build/stage1-nspawn.aci` })

const kernel = process.env['HOLDFAST_GUEST_KERNEL'] ?? `${root}build/kernel`
const kernelSha256 = process.env['HOLDFAST_GUEST_KERNEL_SHA256']
if (existsSync(`${kernel}/vmlinuz`)) {
  await buildKvmStage1({
    program: `${root}build/holdfast-stage1`,
    kernel,
    ...(kernelSha256 !== undefined && { kernelSha256 }),
    modules: parseModuleList(readFileSync(`${root}config/guest-modules`, 'utf8')),
    output: `${root}build/stage1-kvm.aci`,
  })
} else {
  rmSync(`${root}build/stage1-kvm.aci`, { force: true }) // one of an earlier program would be taken for this one's
  console.error(
    `build: ${kernel} has no vmlinuz, so build/stage1-kvm.aci is not built (config/guest-kernel.sh gets one)`,
  )
}

rmSync(`${root}build/net.d`, { recursive: true, force: true })
cpSync(`${root}config/net.d`, `${root}build/net.d`, { recursive: true }) // the networks that there are without configuration

/** CommonJS knows no import.meta. */
const commonJs = {
  ...common,
  format: 'cjs',
  define: { ...define, 'import.meta.url': '__importMetaUrl' },
  banner: { js: "const __importMetaUrl=require('node:url').pathToFileURL(__filename).href;" },
} satisfies BuildOptions

const commands = new Map<string, string>()
const dispatcher = await build({ ...commonJs, entryPoints: { holdfast: 'holdfast.ts' }, plugins: [lazily(commands)] })
const files = await build({
  ...commonJs,
  entryPoints: Object.fromEntries([...COMMON_JS].map((source) => [moduleName(source), source])),
  outExtension: { '.js': '.cjs' },
})
const modules = await build({
  ...common,
  entryPoints: Object.fromEntries(commands),
  format: 'esm',
  splitting: true,
  outExtension: { '.js': '.mjs' },
  define,
  // CommonJS packages inside a bundle ask for Node's own modules by require
  banner: { js: "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);" },
})
// Chunks are named after their content: old ones would pile up. They go last, so that what runs meanwhile finds its
// own.
const made = new Set([dispatcher, files, modules].flatMap(({ metafile }) => Object.keys(metafile.outputs)))
for (const name of readdirSync(`${root}build`)) {
  if (/\.[cm]?js(\.map)?$/.test(name) && !made.has(`build/${name}`)) rmSync(`${root}build/${name}`)
}
writeFileSync(`${root}build/package.json`, '{ "type": "commonjs" }\n') // for holdfast.js; the others say it in their names
chmodSync(`${root}build/holdfast.js`, 0o755)
