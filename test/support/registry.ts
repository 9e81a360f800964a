import { mkdirSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { Service } from './holdfast.ts'
import { twoFreePorts } from './swtpm.ts'

/** A registry of images on loopback, plain HTTP. */
export interface Registry {
  /** `127.0.0.1:PORT`, as in `docker://127.0.0.1:PORT/name:tag`. */
  readonly host: string
  readonly pid: number
  readonly stop: () => Promise<void>
}

/**
 * Starts Debian's docker-registry with its storage in `directory`, which the caller removes.
 * @throws Error with the end of its log when it does not come up
 */
export async function startRegistry(directory: string): Promise<Registry> {
  mkdirSync(directory, { recursive: true })
  const host = `127.0.0.1:${await twoFreePorts()}`
  const config = join(directory, 'config.yml')
  writeFileSync(
    config,
    `version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: ${join(directory, 'storage')}}}
http: {addr: '${host}'}
`,
  )
  const service = Service.start('docker-registry', join(directory, 'log'), 'docker-registry', ['serve', config])
  await service.waitUntil('an answer on /v2/', () => answers(`http://${host}/v2/`))
  return {
    host,
    pid: service.pid,
    stop: async () => {
      await service.stop()
    },
  }
}

function answers(url: string): Promise<true | undefined> {
  return new Promise((resolve) => {
    const call = request(url, (answer) => {
      answer.resume()
      resolve(answer.statusCode === 200 ? true : undefined)
    })
    call.on('error', () => resolve(undefined))
    call.end()
  })
}
