import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AgentProxy } from '../../support/agent-proxy.ts'
import { flip, withFlipped } from '../../support/flip.ts'
import { HOLDFAST_PROGRAM, PROJECT_ROOT, type Ran, run } from '../../support/holdfast.ts'
import { type Format, type MadeImage, treeFile, writeImages } from '../../support/measured.ts'
import {
  assertInStep,
  expectRefusal,
  needsWholePath,
  quiet,
  startNode,
  type WholeNode,
} from '../../support/whole-path.ts'

const HELPER = join(PROJECT_ROOT, 'build/holdfast-stage1')
const PERMIT = `@id("all")
@description("launches, and programs in apps")
permit (principal, action in [Action::"launch", Action::"enter"], resource);
`
const STAGE1 = 'stage1-nspawn.aci'
const ECHO = ['--exec', '/bin/echo', '--', 'started all the same'] as const

/** A file that a launch relies on, and the byte of it that is changed. */
interface Flip {
  readonly of: Format | 'stage1'
  readonly what: keyof typeof FILES
  /** The byte behind this text; the one in the middle unless given. */
  readonly behind?: string
  readonly code: RegExp
}

const record = (of: Flip['of'], member: string, code: RegExp): Flip => ({ of, what: 'record', behind: member, code })
const ref = (of: Flip['of'], member: string, code: RegExp): Flip => ({ of, what: 'ref', behind: member, code })
const STORED: readonly Flip[] = [
  ...(['oci', 'aci', 'docker', 'stage1'] as const).flatMap((of): Flip[] => [
    { of, what: 'tree', code: /IMAGE_TREE_CHANGED/ },
    { of, what: 'configuration', code: /IMAGE_RECORD_BAD/ },
    record(of, '"treeDigest":"erofs-verity-2:sha256:', /IMAGE_TREE_MISSING|LAUNCH_CHANGED/),
    ref(of, '"manifestDigest":"sha256:', /IMAGE_BLOB_MISSING|IMAGE_RECORD_BAD/),
  ]),
  { of: 'oci', what: 'manifest', code: /IMAGE_RECORD_BAD/ },
  { of: 'docker', what: 'manifest', code: /IMAGE_RECORD_BAD/ },
  record('oci', '"configDigest":"sha256:', /IMAGE_RECORD_BAD/),
  record('aci', '"configDigest":"sha256:', /IMAGE_BLOB_MISSING/),
  record('oci', '"exec":["/bin/', /IMAGE_RECORD_BAD/),
  record('oci', '"treeSizeBytes":', /IMAGE_RECORD_BAD/),
  record('aci', '"id":"sha512-', /IMAGE_RECORD_BAD/),
  ref('oci', '"imageId":"sha256-', /IMAGE_RECORD_BAD/),
  ref('oci', '"name":"oci:/', /IMAGE_RECORD_BAD/),
]

/** Paths in the data directory, of an image by what its record and its name's say. */
const FILES = {
  tree: ({ treeDigest }: Stored) => join('trees', `${treeDigest.split(':').at(-1)}.erofs`),
  configuration: ({ configDigest }: Stored) => blob(configDigest),
  manifest: ({ manifestDigest }: Stored) => blob(manifestDigest),
  record: ({ imageId }: Stored) => join('images', `${imageId}.json`),
  ref: ({ name }: Stored) => join('refs', encodeURIComponent(name)),
} as const
interface Stored {
  readonly name: string
  readonly imageId: string
  readonly manifestDigest: string
  readonly configDigest: string
  readonly treeDigest: string
}
const blob = (digest: string): string => join('cas', digest.replace(':', '/'))

describe('one byte changed, and nothing is started', () => {
  let node: WholeNode
  let proxy: AgentProxy
  let made: Readonly<Record<Format, MadeImage>>
  const stored = new Map<string, Stored>()
  const uuids = new Map<string, string>()
  /** Pods that were as they had been measured. */
  const started = new Set<string>()

  before(async function () {
    needsWholePath(this)
    node = await startNode({ stage0: true, policies: { '10-permit.cedar': PERMIT } })
    const { d } = node
    proxy = await AgentProxy.start(join(d.directory, 'proxy.sock'), d.agentSocket)
    made = writeImages(d.directory)
    const names = Object.values(made).map((image) => image.name)
    await d.expect('fetch', ...storeOptions(), ...names)
    const images: { name: string }[] = JSON.parse(
      await d.expect('image', 'list', '--format=json', '--dir', d.dataDirectory),
    )
    for (const { name } of images) stored.set(name.endsWith(STAGE1) ? 'stage1' : name, storedAs(name))
    for (const [format, image] of Object.entries(made)) uuids.set(format, await prepare(image))
  })
  after(async () => {
    await proxy?.stop()
    await node?.d.stop()
  })
  afterEach(() => {
    if (proxy !== undefined) proxy.hook = (_, answer) => answer
  })

  const inData = (...path: string[]): string => join(node.d.dataDirectory, ...path)
  const storeOptions = (): readonly string[] => {
    const { nodeOptions } = node.d
    return ['--dir', node.d.dataDirectory, ...nodeOptions.slice(nodeOptions.indexOf('--local-config'), -2)]
  }
  const storedAs = (name: string): Stored => {
    const of = JSON.parse(readFileSync(inData('refs', encodeURIComponent(name)), 'utf8'))
    return { ...JSON.parse(readFileSync(inData('images', `${of.imageId}.json`), 'utf8')), ...of }
  }
  const prepare = (image: MadeImage, ...words: string[]): Promise<string> =>
    node.d.expect('prepare', '--quiet', ...storeOptions(), image.name, ...(words.length > 0 ? words : ECHO))
  const starts = async (uuid: string): Promise<void> => {
    assert.deepEqual(await runPrepared(uuid), { status: 0, stdout: 'started all the same\n', stderr: '' })
    started.add(uuid)
  }
  const runPrepared = (uuid: string): Promise<Ran> =>
    node.d.holdfast('run-prepared', ...node.d.nodeOptions.slice(0, -2), '--agent', proxy.socket, uuid)
  const runImage = (image: MadeImage): Promise<Ran> => node.d.launch('--agent', proxy.socket, image.name, ...ECHO)
  const refused = async (code: RegExp, start: () => Promise<Ran>): Promise<void> => {
    const { stderr } = await expectRefusal(node, [], start)
    assert.match(stderr, code)
  }
  const recordsNow = async (): Promise<number> => (await quiet(node.d)).log.records

  for (const { of, what, behind, code } of STORED) {
    const shown = behind === undefined ? what : `${what}, ${/"(\w+)"/.exec(behind)?.[1]}`
    it(`${of}: ${shown}: after the fetch, and after prepare`, async () => {
      const format = of === 'stage1' ? 'oci' : of
      const about = stored.get(of === 'stage1' ? of : made[of].name)
      assert.ok(about !== undefined)
      const measured = await recordsNow()
      await withFlipped(
        inData(FILES[what](about)),
        async () => {
          await refused(code, () => runImage(made[format]))
          await refused(code, () => runPrepared(uuids.get(format) ?? ''))
        },
        behind,
      )
      assert.equal(await recordsNow(), measured, 'nothing was measured, for nothing was asked for')
    })
  }

  it('the prepared pods start when every byte is as it was', async () => {
    for (const uuid of uuids.values()) await starts(uuid)
    await assertInStep(node.d)
  })

  it('a layer: where it is fetched from, and where it is stored', async () => {
    const other = writeImages(mkdtempIn('other'))
    const { layers } = JSON.parse(readFileSync(inData(FILES.manifest(storedOf('oci'))), 'utf8'))
    const layer: string = layers[0].digest
    const fetched = join(other.oci.name.replace(/^oci:|:latest$/g, ''), 'blobs', layer.replace(':', '/'))
    // the same layer is in the store already, and would be taken from there
    rmSync(inData(blob(layer)))
    await withFlipped(fetched, () => refused(/IMAGE_/, () => runImage(other.oci)))
    await node.d.expect('fetch', ...storeOptions(), other.oci.name)
    await withFlipped(inData(blob(layer)), async () => {
      // what is mounted is the tree; the layer is only looked at where a tree is rendered from it
      const { status, stdout } = await node.d.holdfast('image', 'verify', '--dir', node.d.dataDirectory, made.oci.id)
      assert.equal(status, 254, stdout)
      const tree = treeFile(node.d, storedOf('oci').treeDigest)
      renameSync(tree, `${tree}.kept`)
      await refused(/IMAGE_TREE_MISSING/, () => runImage(made.oci))
      renameSync(`${tree}.kept`, tree)
    })
  })

  const storedOf = (format: Format): Stored => stored.get(made[format].name) ?? assert.fail(format)
  const mkdtempIn = (name: string): string => {
    mkdirSync(join(node.d.directory, name))
    return join(node.d.directory, name)
  }

  for (const file of ['pod', 'redaction-key', 'prepared.json']) {
    it(`${file} of a prepared pod`, async () => {
      const [uuid, measured] = [await prepare(made.aci), await recordsNow()]
      await withFlipped(inData('pods/prepared', uuid, file), () =>
        refused(/LAUNCH_CHANGED|POD_FILE_BAD/, () => runPrepared(uuid)),
      )
      assert.equal(await recordsNow(), measured)
      await starts(uuid)
    })
  }

  /** Put where a pod finds it when it starts. */
  const PLANTED: Readonly<Record<string, (pod: string) => void>> = {
    'a program in the writable layer': (pod) => {
      mkdirSync(join(pod, 'apps/app/upper/bin'))
      writeFileSync(join(pod, 'apps/app/upper/bin/echo'), '#!/bin/sh\necho other', { mode: 0o755 })
    },
    'another directory as the writable layer': (pod) => {
      renameSync(join(pod, 'apps/app/upper'), join(pod, 'upper'))
      symlinkSync(join(pod, 'upper'), join(pod, 'apps/app/upper'))
    },
    'a file of the plan': (pod) => writeFileSync(join(pod, 'plan/apps/app/argv'), '/bin/echo\0other\0'),
    'a link as a file of the plan': (pod) => symlinkSync('/dev/null', join(pod, 'plan/apps.list')),
    'an empty volume that is not empty': (pod) => {
      mkdirSync(join(pod, 'volumes/data'), { recursive: true })
      writeFileSync(join(pod, 'volumes/data/file'), 'x')
    },
    'an exit status': (pod) => writeFileSync(join(pod, 'status/app'), '0'),
    'lines of a log': (pod) => writeFileSync(join(pod, 'log/app.log'), 'x'),
  }
  const NAMED = ['--name', 'app', ...ECHO]
  for (const [what, plant] of Object.entries(PLANTED)) {
    it(`${what}: put into a prepared pod, and while the agent is asked`, async () => {
      const uuid = await prepare(made.oci, ...NAMED)
      plant(inData('pods/prepared', uuid))
      await refused(/LAUNCH_CHANGED/, () => runPrepared(uuid))
      whileAsked(plant)
      await refused(/LAUNCH_CHANGED/, () => node.d.launch('--agent', proxy.socket, made.oci.name, ...NAMED))
    })
  }

  const whileAsked = (happens: (pod: string) => void): void => {
    proxy.hook = (asked, answer) => {
      assert.equal(answer.status, 200, 'the agent itself has allowed it')
      happens(JSON.parse(asked).podDirectory)
      return answer
    }
  }

  // of run: between-answer-and-start.test.ts
  for (const [what, fileOf, code] of [
    ['the tree of the image', () => inData(FILES.tree(storedOf('oci'))), /IMAGE_TREE_CHANGED/],
    ['the tree of the stage1', () => inData(FILES.tree(stored.get('stage1') ?? assert.fail())), /IMAGE_TREE_CHANGED/],
    ['the pod manifest', (pod: string) => join(pod, 'pod'), /LAUNCH_CHANGED/],
    ['the redaction key', (pod: string) => join(pod, 'redaction-key'), /LAUNCH_CHANGED/],
  ] as const) {
    it(`${what} of a prepared pod, while the agent is asked`, async () => {
      const uuid = await prepare(made.oci)
      let restore = (): void => {}
      whileAsked((pod) => {
        restore = flip(fileOf(pod))
      })
      await refused(code, () => runPrepared(uuid))
      if (what.startsWith('the tree')) restore() // the pod has been moved
    })
  }

  it('the program that joins an app, while the agent is asked', async () => {
    const { d } = node
    const uuid = await d.expect(
      ...['run', ...d.nodeOptions, '--detach', made.oci.name, '--exec', '/bin/sleep', '--', '1000'],
    )
    started.add(uuid)
    const copy = join(d.directory, 'holdfast-stage1')
    copyFileSync(HELPER, copy)
    whileAsked(() => flip(copy))
    const inApp = ['--dir', d.dataDirectory, '--agent', proxy.socket, '--trust', d.trustFile, uuid, '/bin/echo', 'no']
    // the copy stands in the program's place for this one process
    const bound = [
      '--mount',
      'sh',
      '-c',
      `mount --bind ${copy} ${HELPER} && exec "$@"`,
      'sh',
      HOLDFAST_PROGRAM,
      'enter',
    ]
    await refused(/LAUNCH_CHANGED/, () => run('unshare', [...bound, ...inApp]))
    await d.expect('stop', '--force', '--dir', d.dataDirectory, uuid)
  })

  it('what came of all this: the log replays, and no break is in it', async () => {
    const records = await assertInStep(node.d)
    const ran = records.flatMap((r) => (r.record === 'exited' && r.reason !== 'not-started' ? [r.uuid] : []))
    assert.deepEqual(new Set(ran), started, 'those that had every byte as it was, and no others')
  })
})
