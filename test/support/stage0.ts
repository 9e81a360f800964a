import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HOLDFAST_PROGRAM, Service } from './holdfast.ts'

/** Where startStage0() listens. */
export function stage0SocketIn(directory: string): string {
  return join(directory, 'run-stage0/stage0.sock')
}

/**
 * A stage0 server of the built executable with socket and log in `directory`; it listens when this resolves.
 *
 * @param before what is put before the command, such as `nsenter --net=FILE`
 */
export async function startStage0(directory: string, before: readonly string[] = []): Promise<Service> {
  const log = stage0Log(directory)
  const earlier = readIfThere(log).length
  const [program = '', ...args] = [...before, HOLDFAST_PROGRAM, 'stage0', '--socket', stage0SocketIn(directory)]
  const service = Service.start('stage0', log, program, args)
  await service.waitUntil('its socket', async () =>
    readIfThere(log).slice(earlier).includes('"msg":"listens"') ? true : undefined,
  )
  return service
}

/** One record of its log: `msg` is the event. */
export interface Stage0Record {
  readonly msg: string
  readonly why?: string
  readonly code?: string
}

export function stage0Records(directory: string): Stage0Record[] {
  const lines = readIfThere(stage0Log(directory)).split('\n')
  return lines.filter((line) => line !== '').map((line): Stage0Record => JSON.parse(line))
}

/** How often a client was handed a pod. */
export function handedOver(directory: string): number {
  return stage0Records(directory).filter(({ msg }) => msg === 'handed over').length
}

function stage0Log(directory: string): string {
  return join(directory, 'stage0.log')
}

function readIfThere(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}
