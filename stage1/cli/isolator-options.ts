import { UsageError } from '../../attestation/base/index.ts'
import type { Isolator } from '../manifest/index.ts'
import { parseCpu, parseMemory } from '../pod/index.ts'
import type { OptionSpec, OptionValues } from './option-table.ts'

/** Limits and grants of an app. */
export const ISOLATOR_OPTIONS: readonly OptionSpec[] = [
  { name: 'memory', value: 'SIZE', of: 'app', help: ['limit, as 64Mi or 1G'] },
  { name: 'cpu', value: 'SHARE', of: 'app', help: ['limit in processors, as 500m or 2'] },
  { name: 'cpu-shares', value: 'NUMBER', of: 'app', help: ['weight against others where processors are scarce'] },
  { name: 'oom-score-adj', value: 'NUMBER', of: 'app', help: ['-1000 to 1000: what the kernel ends first'] },
  { name: 'caps-retain', value: 'CAP_X,...', of: 'app', help: ['these capabilities and no others'] },
  { name: 'caps-remove', value: 'CAP_X,...', of: 'app', help: ['the default capabilities without these'] },
  {
    name: 'seccomp',
    value: 'mode=retain|remove[,errno=NAME],CALL,...',
    of: 'app',
    help: ['these system calls alone, or all but these; @names stand for sets of them'],
  },
]

/** Texts stay as typed: they are measured that way. @throws UsageError; PodError POD_ISOLATOR_BAD */
export function parseIsolators(o: OptionValues): Isolator[] {
  const [memory, cpu] = [o.last('memory'), o.last('cpu')]
  if (memory !== undefined) parseMemory(memory)
  if (cpu !== undefined) parseCpu(cpu)
  const [retain, remove] = [o.last('caps-retain'), o.last('caps-remove')]
  if (retain !== undefined && remove !== undefined)
    throw new UsageError('--caps-retain and --caps-remove exclude each other')
  const seccomp = o.last('seccomp')
  return [
    ...(memory === undefined ? [] : [{ name: 'resource/memory', value: { limit: memory } }]),
    ...(cpu === undefined ? [] : [{ name: 'resource/cpu', value: { limit: cpu } }]),
    ...number(o, 'cpu-shares', 2, 262_144).map((value) => ({ name: 'os/linux/cpu-shares', value })),
    ...number(o, 'oom-score-adj', -1000, 1000).map((value) => ({ name: 'os/linux/oom-score-adj', value })),
    ...(retain === undefined ? [] : [{ name: 'os/linux/capabilities-retain-set', value: { set: listOf(retain) } }]),
    ...(remove === undefined ? [] : [{ name: 'os/linux/capabilities-remove-set', value: { set: listOf(remove) } }]),
    ...(seccomp === undefined ? [] : [parseSeccomp(seccomp)]),
  ]
}

/** None or one. */
function number(o: OptionValues, name: string, min: number, max: number): number[] {
  const text = o.last(name)
  if (text === undefined) return []
  const value = /^-?[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw new UsageError(`--${name}: '${text.slice(0, 40)}' is not in ${min}..${max}`)
  return [value]
}

function listOf(text: string): string[] {
  return text.split(',').filter((word) => word !== '')
}

/** `mode=retain,errno=EPERM,@docker/default-whitelist,mount`, as in rkt. */
function parseSeccomp(text: string): Isolator {
  const words = listOf(text)
  const after = (key: string): string | undefined => words.find((w) => w.startsWith(`${key}=`))?.slice(key.length + 1)
  const [mode, errno] = [after('mode'), after('errno')]
  const set = words.filter((word) => !word.includes('='))
  const unknown = words.find((w) => w.includes('=') && !w.startsWith('mode=') && !w.startsWith('errno='))
  if (unknown !== undefined) throw new UsageError(`--seccomp: '${unknown.slice(0, 80)}' is neither mode= nor errno=`)
  if (mode !== 'retain' && mode !== 'remove') throw new UsageError('--seccomp: mode is retain or remove')
  if (set.length === 0) throw new UsageError('--seccomp: name the system calls')
  return { name: `os/linux/seccomp-${mode}-set`, value: { set, ...(errno === undefined ? {} : { errno }) } }
}
