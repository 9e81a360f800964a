import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import pg from 'pg'
import { tempDir } from './temp-dir.ts'

const ROOT = '/usr/lib/postgresql'

/** A PostgreSQL server of the test's own, on a unix socket. */
export interface TestPostgres {
  /** Makes an empty database. @returns its URL */
  database(): Promise<string>
  /** The server process, for tests that take it away. */
  readonly pid: number
  stop(): Promise<void>
}

/** Where the programs of the newest PostgreSQL are; undefined where there are none. */
export function postgresPrograms(): string | undefined {
  if (!existsSync(ROOT)) return undefined
  const versions = readdirSync(ROOT).sort((a, b) => Number(b) - Number(a))
  return versions.map((version) => join(ROOT, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb')))
}

/** Skips the tests of a hook's suite, and says why, where there is no PostgreSQL. */
export async function startPostgresOrSkip(context: Mocha.Context): Promise<TestPostgres> {
  const bin = postgresPrograms()
  if (bin === undefined) {
    console.log('skipped: there is no PostgreSQL here; apt-get install postgresql')
    context.skip()
  }
  return await startPostgres(bin)
}

/** PostgreSQL does not run as root: where the tests do, it is `postgres`, the user of Debian's package. */
async function startPostgres(bin: string): Promise<TestPostgres> {
  const dir = tempDir()
  const data = join(dir.path, 'data')
  const root = process.getuid?.() === 0
  const user = root ? ['--reuid=postgres', '--regid=postgres', '--init-groups'] : []
  chmodSync(dir.path, root ? 0o777 : 0o700) // initdb makes the data directory, as its owner
  const initdb = ['-D', data, '-U', 'holdfast', '-A', 'trust', '-E', 'UTF8', '--no-sync']
  const made = spawnSync('setpriv', [...user, join(bin, 'initdb'), ...initdb], { cwd: dir.path, encoding: 'utf8' })
  if (made.status !== 0) {
    dir.remove()
    throw new Error(`initdb: ${made.stderr || made.error}`)
  }
  const settings = ['listen_addresses=', `unix_socket_directories=${data}`, 'max_connections=60']
  const program = [join(bin, 'postgres'), '-D', data, ...settings.flatMap((s) => ['-c', s])]
  // it ends when the tests do, however they end
  const server = spawn('setpriv', [...user, '--pdeathsig=SIGQUIT', ...program], {
    cwd: dir.path,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const stop = async (): Promise<void> => {
    if (server.exitCode === null && server.signalCode === null) {
      server.kill('SIGQUIT') // at once: nothing of it is wanted any more
      await once(server, 'exit')
    }
    dir.remove()
  }
  try {
    await ready(server.stderr)
  } catch (err) {
    await stop()
    throw err
  }
  const url = (name: string): string => `postgres:///${name}?host=${data}&user=holdfast`
  let count = 0
  return {
    pid: server.pid ?? 0,
    async database() {
      const name = `holdfast_${count++}`
      const client = new pg.Client({ connectionString: url('postgres') })
      await client.connect()
      try {
        await client.query(`create database ${name}`)
      } finally {
        await client.end()
      }
      return url(name)
    },
    stop,
  }
}

/** Reads on afterwards, so that the server never waits for whoever reads its log. */
async function ready(log: Readable): Promise<void> {
  const lines: string[] = []
  await new Promise<void>((resolve, reject) => {
    createInterface(log)
      .on('line', (line) => {
        if (line.includes('database system is ready')) resolve()
        if (lines.length < 50) lines.push(line)
      })
      .on('close', () => reject(new Error(`postgres ended: ${lines.join('\n')}`)))
  })
}
