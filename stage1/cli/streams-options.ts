import { UsageError } from '../../attestation/base/index.ts'
import type { Streams } from '../pod/index.ts'
import type { OptionSpec, OptionValues } from './option-table.ts'

/** An app's log is this long before it is rotated, and there are so many of them. */
const LOG_BYTES = 10 << 20
const LOG_FILES = 5

/** Where what apps write goes, and what they read comes from. */
export const STREAMS_OPTIONS: readonly OptionSpec[] = [
  { name: 'interactive', of: 'pod', help: ["the pod's one app has the caller's terminal"] },
  {
    name: 'detach',
    of: 'pod',
    help: [
      'return when every app has been executed, and print the UUID; what apps write is kept with the pod',
      '(holdfast logs): 5 files of 10 MiB for each app, the oldest of which goes first',
    ],
  },
]

/** @throws UsageError */
export function readStreams(o: OptionValues): Streams {
  const [interactive, detach] = [o.flag('interactive'), o.flag('detach')]
  if (interactive && detach) throw new UsageError('--interactive and --detach exclude each other')
  if (detach) return { kind: 'log', maxBytes: LOG_BYTES, files: LOG_FILES }
  return { kind: interactive ? 'terminal' : 'pass' }
}

/** Whether `--detach` is among the words; an argument of an app may look the same, and then nothing is lost but time. */
export function mayDetach(words: readonly string[]): boolean {
  return words.some((word) => word === '--detach' || word.startsWith('--detach='))
}
