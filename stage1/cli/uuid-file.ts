import fs from 'node:fs'
import { UsageError } from '../../attestation/base/index.ts'
import { podUuid } from '../pod/index.ts'

/** The pod that a command is about: its argument, or what `--uuid-file` names, but not both. */
export function uuidArgument(uuid: string | undefined, file: string | undefined): string {
  if (uuid !== undefined && file !== undefined) throw new UsageError('give a UUID or --uuid-file, not both')
  if (file !== undefined) return podUuid(fs.readFileSync(file, 'utf8').trim())
  if (uuid === undefined) throw new UsageError('no pod given')
  return uuid
}
