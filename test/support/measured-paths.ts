import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withFlipped } from './flip.ts'
import { HOLDFAST_PROGRAM, type Ran } from './holdfast.ts'
import {
  assertEntered,
  assertRecorded,
  assertTold,
  BUSYBOX_SHA256,
  type Expected,
  FORMATS,
  type Format,
  type MadeImage,
  type MeasuredFlavour,
  TELL,
  writeImages,
} from './measured.ts'
import { SpeakingPod } from './speaking-pod.ts'
import { assertInStep, assertRefused, needsWholePath, startNode, type WholeNode } from './whole-path.ts'

/**
 * Tests that walk every path to a running app in one flavour: what is in the launch log and the register is what ran, and
 * what was changed is refused.
 */
export function describeMeasuredPaths(flavour: MeasuredFlavour): void {
  describe(`what is in the log and the register is what ran (${flavour.name})`, () => {
    let node: WholeNode
    let made: Readonly<Record<Format, MadeImage>>

    before(async function () {
      needsWholePath(this)
      flavour.require(this)
      node = await startNode({ stage0: true, policies: { '10-permit.cedar': PERMIT } })
      made = writeImages(node.d.directory)
      await node.d.expect('fetch', ...storeOptions(), ...Object.values(made).map((i) => i.name))
    })
    after(async () => {
      await node?.d.stop()
    })

    const storeOptions = (): string[] => {
      const { nodeOptions } = node.d
      const config = nodeOptions.slice(nodeOptions.indexOf('--local-config'), nodeOptions.indexOf('--stage0'))
      return ['--dir', node.d.dataDirectory, ...config]
    }
    const launchOptions = (c: Cell): string[] => [
      ...flavour.options,
      ...['--net', c.network],
      ...(c.relaxed.length > 0 ? [`--insecure-options=${c.relaxed.join(',')}`] : []),
    ]
    const appWords = (c: Cell): string[] =>
      c.images.flatMap((image, i) => [
        ...(i === 0 ? [] : ['---']),
        ...[image.name, '--name', `app-${i}`, '--memory', '64Mi', '--caps-retain', 'CAP_CHOWN', '--exec', '/bin/sh'],
        ...['--', '-c', TELL],
      ])

    /** A pod that is to be launched in one of the ways. */
    interface Cell {
      readonly images: readonly MadeImage[]
      readonly network: Expected['network']
      readonly relaxed: readonly string[]
      readonly token: string
      readonly uuidFile: string
    }

    const podManifest = (c: Cell): string => {
      const isolators = [
        { name: 'resource/memory', value: { limit: '64Mi' } },
        { name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_CHOWN'] } },
      ]
      const environment = [
        { name: 'PATH', value: '/bin' },
        { name: 'TOKEN', value: c.token },
      ]
      const app = { exec: ['/bin/sh', '-c', TELL], user: '0', group: '0', environment, isolators }
      return manifestOf(c.images.map((image, i) => ({ name: `app-${i}`, image, app })))
    }
    const manifestOf = (
      apps: readonly { readonly name: string; readonly image: MadeImage; readonly app: object }[],
    ): string => {
      const file = join(node.d.directory, 'pod-manifest.json')
      const whole = apps.map(({ name, image, app }) => ({ name, image: { name: image.name }, app }))
      writeFileSync(file, JSON.stringify({ acKind: 'PodManifest', acVersion: '0.8.11', apps: whole }))
      return file
    }
    const prepared = async (c: Cell, ...words: readonly string[]): Promise<Ran> => {
      const relaxed = launchOptions({ ...c }).filter(
        (word) => word.startsWith('--insecure') || word.startsWith('--stage1'),
      )
      const uuid = await node.d.expect('prepare', '--quiet', ...storeOptions(), ...relaxed, ...words)
      writeFileSync(c.uuidFile, uuid)
      return node.d.holdfast('run-prepared', ...withoutServer(), '--net', c.network, uuid)
    }
    const withoutServer = (): readonly string[] => node.d.nodeOptions.slice(0, -2)
    const WAYS: Readonly<Record<string, (c: Cell) => Promise<Ran>>> = {
      run: (c) =>
        node.d.holdfast(
          ...['run', ...withoutServer(), '--stage0', 'none', ...launchOptions(c), '--uuid-file-save', c.uuidFile],
          ...['--set-env', `TOKEN=${c.token}`, ...appWords(c)],
        ),
      'run by the stage0 server': (c) =>
        node.d.launch(
          ...launchOptions(c),
          '--uuid-file-save',
          c.uuidFile,
          '--set-env',
          `TOKEN=${c.token}`,
          ...appWords(c),
        ),
      'prepare and run-prepared': (c) => prepared(c, '--set-env', `TOKEN=${c.token}`, ...appWords(c)),
      'run --pod-manifest': (c) =>
        node.d.launch(...launchOptions(c), '--uuid-file-save', c.uuidFile, '--pod-manifest', podManifest(c)),
      'prepare --pod-manifest and run-prepared': (c) => prepared(c, '--pod-manifest', podManifest(c)),
    }

    for (const [position, [way, launch]] of Object.entries(WAYS).entries()) {
      for (const [i, format] of FORMATS.entries()) {
        for (const apps of [1, 2]) {
          if (!flavour.takes(position, i, apps)) continue
          it(`${way}: ${format}, ${apps === 1 ? 'one app' : 'two apps'}`, async () => {
            const formats = [format, ...(apps === 1 ? [] : [FORMATS[(i + 1) % FORMATS.length] ?? format])]
            const cell: Cell = {
              images: formats.map((f) => made[f]),
              network: apps === 1 ? 'none' : flavour.otherNetwork,
              relaxed: apps === 1 ? [] : ['seccomp'],
              token: randomUUID(),
              uuidFile: join(node.d.directory, 'uuid-of-cell'),
            }
            const ran = await launch(cell)
            assert.equal(ran.status, 0, ran.stderr)
            assert.match(ran.stderr, flavour.says)
            const about = {
              flavour,
              hostNetwork: cell.network === 'host',
              filtered: cell.relaxed.length === 0,
              token: cell.token,
            }
            assertTold(
              ran.stdout,
              cell.images.map((image) => ({ image, ...about })),
            )
            assertRecorded(node.d, flavour, await assertInStep(node.d), {
              ...{ uuid: readFileSync(cell.uuidFile, 'utf8').trim(), images: cell.images },
              ...{ network: cell.network, relaxed: cell.relaxed },
              isolators: cell.images.flatMap(() => ISOLATORS),
              statuses: Object.fromEntries(cell.images.map((_, n) => [`app-${n}`, 0])),
            })
          })
        }
      }
    }

    for (const [i, format] of FORMATS.entries()) {
      for (const apps of [1, 2]) {
        if (!flavour.takes(0, i, apps)) continue
        it(`enter and restart: ${format}, ${apps === 1 ? 'one app' : 'two apps'}`, async () => {
          const { d } = node
          const image = made[format]
          const uuidFile = join(d.directory, `uuid-${randomUUID()}`)
          const waits = 'cat /marker; until [ -e /go ]; do busybox sleep 0.02; done; busybox rm /go'
          const restart = [{ name: 'holdfast/restart', value: { policy: 'always', limit: 1 } }]
          const app = { user: '0', group: '0', environment: [{ name: 'PATH', value: '/bin' }] }
          const both = [
            { name: 'app-0', image, app: { ...app, exec: ['/bin/sh', '-c', waits], isolators: restart } },
            {
              name: 'app-1',
              image: made[FORMATS[(i + 1) % FORMATS.length] ?? format],
              app: { ...app, exec: ['/bin/sh', '-c', ':'] },
            },
          ].slice(0, apps)
          const pod = new SpeakingPod(
            HOLDFAST_PROGRAM,
            [
              'run',
              ...d.nodeOptions,
              ...flavour.options,
              '--uuid-file-save',
              uuidFile,
              '--pod-manifest',
              manifestOf(both),
            ],
            `${image.marker}\n`,
          )
          try {
            await pod.hasSaid(1)
            const uuid = readFileSync(uuidFile, 'utf8').trim()
            const directory = join(d.dataDirectory, 'pods/run', uuid)
            for (const [file, behind] of RELIED_ON) {
              const refused = async (): Promise<void> => assertRefused(await enter(uuid, ['/bin/echo', 'no']))
              await withFlipped(join(directory, file), refused, behind)
            }
            const tells = ['/bin/sh', '-c', 'cat /marker; busybox sha256sum /bin/busybox']
            const told = await enter(uuid, tells)
            assert.deepEqual(told, {
              status: 0,
              stdout: `${image.marker}\n${BUSYBOX_SHA256}  /bin/busybox\n`,
              stderr: '',
            })
            // the plan that the pod was started by; init knows it from elsewhere
            for (const [file, content] of flavour.plan) writeFileSync(join(directory, 'plan', file), content)
            const goesOn = ['/bin/sh', '-c', ': > /go']
            for (const times of [2, undefined]) {
              assert.deepEqual(await enter(uuid, goesOn), { status: 0, stdout: '', stderr: '' })
              if (times !== undefined) await pod.hasSaid(times)
            }
            assert.deepEqual(await pod.ended, [0, `${image.marker}\n`.repeat(2)])
            const records = await assertInStep(d)
            assertRecorded(d, flavour, records, {
              ...{ uuid, images: both.map((b) => b.image), network: 'none', relaxed: [] },
              isolators: [{ name: 'holdfast/restart', value: '{"limit":1,"policy":"always"}' }],
              statuses: Object.fromEntries(both.map((b) => [b.name, 0])),
            })
            assertEntered(d, records, uuid, 'app-0', [tells, goesOn, goesOn])
          } finally {
            pod.kill()
            await pod.ended
          }
        })
      }
    }

    const enter = (uuid: string, command: readonly string[]): Promise<Ran> => {
      const agent = ['--agent', node.d.agentSocket, '--trust', node.d.trustFile]
      return node.d.holdfast('enter', '--dir', node.d.dataDirectory, ...agent, '--app', 'app-0', uuid, ...command)
    }
  })
}

const PERMIT = `@id("affirmed-nodes")
@description("a node that has just proved what it runs may start pods, and programs in them")
permit (principal, action in [Action::"launch", Action::"enter"], resource) when { principal.tier == "affirming" };
`
/** What `enter` goes by, and the text behind which a byte of it is changed. */
const RELIED_ON = [['pod'], ['redaction-key'], ['launch.json', '\\"uuid\\":\\"']] as const
const ISOLATORS: Expected['isolators'] = [
  { name: 'resource/memory', value: '{"limit":"64Mi"}' },
  { name: 'os/linux/capabilities-retain-set', value: '{"set":["CAP_CHOWN"]}' },
]
