import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { HOLDFAST, type Ran, run } from '../../support/holdfast.ts'
import { writeImagePolicy } from '../../support/image-policy.ts'
import { tempDir } from '../../support/temp-dir.ts'

const FINGERPRINT = 'ab'.repeat(20)
const AGENT = `tcti: device:/dev/tpmrm0
enrolmentToken: hunter2
verifier:
  url: wss://me:hunter2@verifier.example:7443/v1/agent?token=hunter2
  trust: /etc/holdfast/trust.json
`

interface Shown {
  readonly setting: string
  readonly name?: string
  readonly from: string
  readonly state: string
  readonly details: Readonly<Record<string, unknown>>
}

describe('holdfast config', () => {
  const directory = tempDir()
  const at = (...names: string[]): string => path.join(directory.path, ...names)
  const command = (...options: string[]): Promise<Ran> => {
    const files = ['--dir', at('data'), '--local-config', at('local'), '--system-config', at('system')]
    const more = ['--registries', at('registries.yaml'), '--agent-config', at('agent.yaml')]
    return run(process.execPath, [HOLDFAST, 'config', ...files, ...more, ...options])
  }
  const json = async (): Promise<readonly Shown[]> => JSON.parse((await command('--format=json')).stdout)
  const of = (all: readonly Shown[], setting: string): Shown[] => all.filter((s) => s.setting === setting)

  afterEach(() => {
    for (const name of fs.readdirSync(directory.path)) fs.rmSync(at(name), { recursive: true })
  })
  after(() => directory.remove())

  it('says what is missing, and what then holds', async () => {
    const all = await json()
    for (const setting of ['data-directory', 'registry', 'agent']) {
      assert.deepEqual(
        of(all, setting).map((s) => s.state),
        ['missing'],
        setting,
      )
    }
    assert.deepEqual(
      of(all, 'image-policy').map((s) => [s.state, s.from]),
      [['in force', 'the built-in image policy']],
    )
    assert.ok(of(all, 'network').some((s) => s.name === 'default' && s.state === 'in force'))
    assert.equal((await command()).status, 0)
  })

  it('says what is in force, from which file, and no password, token or key', async () => {
    writeImagePolicy(at('local'))
    fs.mkdirSync(at('data'))
    fs.mkdirSync(at('system/trustedkeys/root.d'), { recursive: true })
    fs.writeFileSync(at('system/trustedkeys/root.d', FINGERPRINT), 'a key')
    fs.writeFileSync(
      at('registries.yaml'),
      'registries:\n  reg.example:\n    http: true\n    mirrors: [{location: m.example/p, tags: true}]\n',
    )
    fs.writeFileSync(at('agent.yaml'), AGENT)
    const all = await json()
    assert.equal(of(all, 'data-directory')[0]?.state, 'in force')
    assert.equal(of(all, 'image-policy')[0]?.from, at('local/image-policy.json'))
    assert.match(String(of(all, 'image-policy')[0]?.details['sha256']), /^[0-9a-f]{64}$/)
    assert.deepEqual(
      of(all, 'trusted-keys').map((s) => [s.from, s.state, s.details['keys']]),
      [
        [at('local/trustedkeys'), 'missing', undefined],
        [at('system/trustedkeys'), 'in force', 1],
      ],
    )
    assert.deepEqual(of(all, 'registry'), [
      {
        ...{ setting: 'registry', name: 'reg.example', from: at('registries.yaml'), state: 'in force' },
        details: { http: true, ownCertificates: false, mirrors: ['m.example/p/ (tags)'] },
      },
    ])
    assert.equal(of(all, 'agent')[0]?.details['verifier'], 'wss://verifier.example:7443/v1/agent')
    const table = await command()
    assert.match(table.stdout, /^SETTING +NAME +STATE +FROM +DETAILS\n/)
    assert.match(
      table.stdout,
      /\nregistry +reg\.example +in force +.* http=true ownCertificates=false mirrors=m\.example/,
    )
    assert.equal(`${JSON.stringify(all)}${table.stdout}`.includes('hunter2'), false)
  })

  it('shows a bad file beside the others and exits with 254, without a word of what is in the agent’s', async () => {
    fs.mkdirSync(at('local'))
    fs.writeFileSync(at('local/image-policy.json'), '{')
    fs.writeFileSync(at('agent.yaml'), `${AGENT}password: hunter2\n`)
    const { status, stdout, stderr } = await command('--no-legend')
    assert.deepEqual([status, stderr], [254, ''])
    assert.match(stdout, /^image-policy +- +bad +/m)
    assert.match(stdout, /^agent +- +bad +.* problem=AGENT_CONFIG_INVALID$/m)
    assert.match(stdout, /^network +default +in force /m)
    assert.equal(stdout.includes('hunter2'), false)
  })

  it('takes a certificate that is missing for a mistake, not for no settings', async () => {
    fs.writeFileSync(at('registries.yaml'), 'registries:\n  reg.example:\n    ca: gone.pem\n')
    const [registry] = of(await json(), 'registry')
    assert.equal(registry?.state, 'bad')
    assert.match(String(registry?.details['problem']), /gone\.pem cannot be read/)
  })

  it('says what this user may not read', async function () {
    if (process.geteuid?.() !== 0) {
      console.log('      skipped: only root can become a user who may not')
      this.skip()
    }
    fs.chmodSync(directory.path, 0o755)
    for (const name of ['agent.yaml', 'registries.yaml']) fs.writeFileSync(at(name), 'x: hunter2', { mode: 0o600 })
    const files = ['--registries', at('registries.yaml'), '--agent-config', at('agent.yaml')]
    const became = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, HOLDFAST]
    const shown = await run('setpriv', [...became, 'config', '--no-legend', ...files])
    assert.match(shown.stdout, /^registry +- +not readable +/m)
    assert.match(shown.stdout, /^agent +- +not readable +/m)
    assert.equal(shown.stdout.includes('hunter2'), false)
  })

  it('is completed and explained', async () => {
    const completed = await run(process.execPath, [HOLDFAST, '__complete', 'config', '--f'])
    assert.equal(completed.stdout, '--format\n')
    assert.match((await command('--help')).stdout, /never a password/)
  })
})
