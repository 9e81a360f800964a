import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ParameterKind, Prototype, PrototypeTable } from './prototypes.ts'

/** Functions of tpm2-tss that this folder calls; the MU functions are found from the structures these take and give. */
const USED = {
  esys: [
    'Initialize Finalize Free TR_FromTPMPublic TR_Close TR_GetName TR_GetTpmHandle TR_SetAuth TR_Serialize',
    'TRSess_SetAttributes TRSess_GetNonceTPM Startup Shutdown SelfTest GetRandom ReadClock GetCapability',
    'StartAuthSession FlushContext PCR_Read PCR_Extend PCR_Event PCR_Reset CreatePrimary Create Load LoadExternal',
    'EvictControl ReadPublic ContextSave ContextLoad MakeCredential ActivateCredential Unseal',
    'PolicySecret PolicySigned PolicyAuthorize PolicyOR PolicyPCR PolicyNV PolicyCounterTimer PolicyCommandCode',
    'PolicyAuthValue PolicyGetDigest Certify CertifyCreation GetTime GetSessionAuditDigest Sign VerifySignature',
    'NV_DefineSpace NV_UndefineSpace NV_ReadPublic NV_Read NV_Write NV_Increment NV_Extend NV_Certify Clear',
  ],
  tctildr: ['Initialize Finalize'],
  rc: ['Decode'],
} as const
const PREFIX = { esys: 'Esys_', tctildr: 'Tss2_TctiLdr_', rc: 'Tss2_RC_' } as const
const HEADERS = ['common', 'tpm2_types', 'tcti', 'esys', 'tctildr', 'mu', 'rc']

/**
 * Reads the prototypes of the functions in use from the installed headers of tpm2-tss (Debian package libtss2-dev).
 *
 * @param includeDir the folder with tss2_esys.h and its neighbours
 * @returns the table as it is kept in prototypes.generated.json
 * @throws Error when a header or a function is missing, or a parameter has a type that the engine cannot pass
 */
export function generatePrototypes(includeDir: string): PrototypeTable {
  const text = HEADERS.map((h) => readFileSync(join(includeDir, `tss2_${h}.h`), 'utf8'))
    .join('\n')
    .replace(/\/\*[\s\S]*?\*\//g, ' ')
    .replace(/^#.*$/gm, ';')
  const types = new TypeNames(text)
  const declarations = readDeclarations(text)
  const table: Record<string, Prototype> = {}
  const structures = new Set<string>()
  for (const library of ['esys', 'tctildr', 'rc'] as const) {
    for (const name of USED[library].join(' ').split(' ')) {
      const symbol = PREFIX[library] + name
      const declared = declarations.get(symbol)
      if (declared === undefined) throw new Error(`${symbol} is not declared in ${includeDir}`)
      const parameters = declared.parameters.map((p): [string, ParameterKind] => {
        const kind = types.kindOf(p.type, symbol)
        return [p.name, symbol === 'Esys_TR_Close' && p.name === 'rsrc_handle' ? 'inout u32' : kind] // C cannot say so
      })
      for (const [, kind] of parameters) {
        const structure = /^(?:in|out) (TPM.*)$/.exec(kind)?.[1]
        if (structure !== undefined) structures.add(structure)
      }
      table[symbol] = { library, returns: returnKind(declared.returns, symbol), parameters }
    }
  }
  for (const structure of [...structures].sort()) {
    for (const direction of ['Marshal', 'Unmarshal']) {
      const symbol = `Tss2_MU_${structure}_${direction}`
      const declared = declarations.get(symbol)
      if (declared === undefined) throw new Error(`${symbol} is not declared in ${includeDir}`)
      const parameters = declared.parameters.map((p): [string, ParameterKind] => [
        p.name,
        p.type === 'size_t' ? 'u64' : 'pointer',
      ])
      table[symbol] = { library: 'mu', returns: 'u32', parameters }
    }
  }
  return table
}

/** @returns the text of prototypes.generated.json: one function a line, so that a change shows as one line. */
export function formatPrototypes(table: PrototypeTable): string {
  return `{\n${Object.entries(table)
    .map(([symbol, p]) => `  ${JSON.stringify(symbol)}: ${JSON.stringify(p)}`)
    .join(',\n')}\n}\n`
}

/** @returns the same as a Markdown table, for native/README.md */
export function prototypesAsMarkdown(table: PrototypeTable): string {
  const rows = Object.entries(table)
    .filter(([, p]) => p.library !== 'mu')
    .map(([symbol, p]) => `| \`${symbol}\` | ${p.parameters.map(([n, k]) => `${n}: ${k}`).join(', ')} | ${p.returns} |`)
  return `| function | parameters in order | result |\n| --- | --- | --- |\n${rows.join('\n')}\n`
}

interface Declaration {
  readonly returns: string
  readonly parameters: readonly { readonly name: string; readonly type: string }[]
}

function readDeclarations(text: string): Map<string, Declaration> {
  const found = new Map<string, Declaration>()
  for (const m of text.matchAll(/\b((?:Esys|Tss2)_\w+)\s*\(([^()]*)\)\s*;/g)) {
    const [, symbol = '', list = ''] = m
    const before = text.slice(Math.max(0, m.index - 80), m.index)
    const returns = /([\w \t*]+)$/.exec(before.replace(/\s+/g, ' '))?.[1] ?? ''
    const parameters = list.split(',').map((one) => {
      const p = /^(.*?)(\w+)\s*(\[\])?$/s.exec(one.trim())
      const type = `${p?.[1] ?? ''}${p?.[3] === undefined ? '' : '*'}`
      return {
        name: p?.[2] ?? '',
        type: type
          .replace(/\s*\*\s*/g, '*')
          .replace(/\s+/g, ' ')
          .trim(),
      }
    })
    found.set(symbol, { returns: returns.trim(), parameters })
  }
  return found
}

function returnKind(type: string, symbol: string): Prototype['returns'] {
  if (type === 'TSS2_RC') return 'u32'
  if (type === 'void') return 'void'
  if (type.endsWith('*')) return 'pointer'
  throw new Error(`${symbol} returns ${type}, which the engine cannot take`)
}

class TypeNames {
  readonly #aliases = new Map<string, string>()
  readonly #marshallable: ReadonlySet<string>

  constructor(text: string) {
    for (const [, target = '', name = ''] of text.matchAll(/typedef\s+(?:struct\s+)?(\w+)\s+(\w+)\s*;/g)) {
      if (name !== target) this.#aliases.set(name, target) // 'typedef struct X X' names itself
    }
    this.#marshallable = new Set([...text.matchAll(/Tss2_MU_(\w+)_Unmarshal/g)].map((m) => m[1] ?? ''))
  }

  kindOf(type: string, symbol: string): ParameterKind {
    const isConst = /\bconst\b/.test(type)
    const stars = type.split('*').length - 1
    const name = type.replace(/\bconst\b|\*/g, '').trim()
    if (name === 'ESYS_CONTEXT' && stars === 1) return 'context'
    const scalar = this.#scalarOf(name)
    if (stars === 0 && scalar !== undefined) return scalar
    if (stars === 1 && scalar !== undefined && !isConst && name !== 'void') return `out ${scalar}`
    if (/^TPM/.test(name) && scalar === undefined) {
      if (!this.#marshallable.has(name)) throw new Error(`${symbol}: no marshalling function for ${name}`)
      if (stars === 1 && isConst) return `in ${name}`
      if (stars === 2) return `out ${name}`
    }
    if (stars > 0) return 'pointer'
    throw new Error(`${symbol}: cannot pass a ${type}`)
  }

  #scalarOf(name: string): 'u8' | 'u16' | 'u32' | 'i32' | 'u64' | undefined {
    for (let t: string | undefined = name; t !== undefined; t = this.#aliases.get(t)) {
      const size = SCALARS[t]
      if (size !== undefined) return size
    }
    return undefined
  }
}

const SCALARS: Readonly<Record<string, 'u8' | 'u16' | 'u32' | 'i32' | 'u64'>> = {
  uint8_t: 'u8',
  uint16_t: 'u16',
  uint32_t: 'u32',
  int32_t: 'i32',
  size_t: 'u64',
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const table = generatePrototypes('/usr/include/tss2')
  if (process.argv.includes('--markdown')) process.stdout.write(prototypesAsMarkdown(table))
  else writeFileSync(new URL('prototypes.generated.json', import.meta.url), formatPrototypes(table))
}
