import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HOLDFAST_PROGRAM, run, Service } from '../support/holdfast.ts'
import { HostNetwork, networksImpossible } from '../support/host-network.ts'
import { tempDir } from '../support/temp-dir.ts'
import { needsWholePath, startNode, type WholeNode } from '../support/whole-path.ts'

/** Where Debian's golang-github-appc-spec-dev has the App Container validator's source. */
const VALIDATOR_SOURCE = '/usr/share/gocode/src/github.com/appc/spec/ace'

const NOT_INSTALLED = 'golang-go and golang-github-appc-spec-dev are not installed (together 700 MB)'

const app = (mode: string) => ({
  exec: ['/ace-validator', mode],
  user: '0',
  group: '0',
  mountPoints: [{ name: 'database', path: '/db', readOnly: false }],
})
const MAIN = {
  app: {
    ...app('main'),
    eventHandlers: [
      { name: 'pre-start', exec: ['/ace-validator', 'prestart'] },
      { name: 'post-stop', exec: ['/ace-validator', 'poststop'] },
    ],
    workingDirectory: '/opt/acvalidator',
    environment: [{ name: 'IN_ACE_VALIDATOR', value: 'correct' }],
    ports: [{ name: 'www', protocol: 'tcp', port: 80 }],
    isolators: [{ name: 'resource/memory', value: { limit: '128M' } }],
  },
  annotations: [{ name: 'created', value: '2014-10-27T19:32:27Z' }],
}
const SIDEKICK = { app: app('sidekick') }

describe('the App Container validators', () => {
  const directory = tempDir()
  let node: WholeNode
  let host: HostNetwork
  let metadata: Service

  before(async function () {
    needsWholePath(this)
    const why = existsSync(VALIDATOR_SOURCE) && existsSync('/usr/bin/go') ? networksImpossible() : NOT_INSTALLED
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    const env = { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', CGO_ENABLED: '0' }
    const cache = { GOCACHE: join(directory.path, 'cache') }
    const program = join(directory.path, 'ace-validator')
    execFileSync('go', ['build', '-o', program, 'github.com/appc/spec/ace'], { env: { ...env, ...cache } })
    for (const [name, manifest] of Object.entries({ main: MAIN, sidekick: SIDEKICK })) {
      const root = join(directory.path, name)
      mkdirSync(join(root, 'rootfs/opt/acvalidator'), { recursive: true })
      copyFileSync(program, join(root, 'rootfs/ace-validator'))
      const about = { acKind: 'ImageManifest', acVersion: '0.8.11', name: `coreos.com/ace-validator-${name}` }
      writeFileSync(join(root, 'manifest'), JSON.stringify({ ...about, ...manifest }))
      execFileSync('tar', ['-cf', aci(name), '-C', root, 'manifest', 'rootfs'])
    }
    node = await startNode()
    host = HostNetwork.make()
    const [nsenter = '', ...args] = [
      ...host.command,
      HOLDFAST_PROGRAM,
      'metadata-service',
      '--dir',
      node.d.dataDirectory,
    ]
    const log = join(directory.path, 'log')
    metadata = Service.start('metadata', log, nsenter, args)
    await metadata.waitUntil(
      'its address',
      async () => readFileSync(log, 'utf8').includes('"msg":"listens"') || undefined,
    )
  })
  after(async () => {
    await metadata?.stop()
    await node?.d.stop()
    host?.remove()
    directory.remove()
  })

  const aci = (name: string): string => join(directory.path, `${name}.aci`)

  for (const network of ['host', 'default']) {
    it(`are content with a pod of two apps, with --net ${network}`, async () => {
      const options = ['--net', network, '--mds-register', '--volume', 'database,kind=empty']
      const [nsenter = '', ...into] = host.command
      const command = ['run', ...node.d.nodeOptions, ...options, aci('main'), '---', aci('sidekick')]
      const ran = await run(nsenter, [...into, HOLDFAST_PROGRAM, ...command])
      assert.equal(ran.stderr, '')
      const said = ran.stdout.trim().split('\n').sort()
      assert.deepEqual(said, ['main OK', 'poststop OK', 'prestart OK', 'sidekick OK'])
      assert.equal(ran.status, 0)
    })
  }
})
