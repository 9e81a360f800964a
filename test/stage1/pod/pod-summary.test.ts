import assert from 'node:assert/strict'
import { closeSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { imageId } from '../../../stage1/manifest/index.ts'
import {
  assemblePod,
  buildPodManifest,
  findPod,
  movePod,
  newPodUuid,
  readPodStatus,
} from '../../../stage1/pod/index.ts'
import { type PodSummary, readPodSummary, writePodSummary } from '../../../stage1/pod/pod-summary.ts'

const APP = { exec: ['/bin/web'], user: '0', group: '0', supplementaryGIDs: [], workingDirectory: '/', mountPoints: [] }
const MORE = { isolators: [], userAnnotations: {}, userLabels: {}, ports: [], environment: [] }
const IMAGE = {
  id: imageId(`sha256-${'ab'.repeat(32)}`),
  reference: 'docker://registry.example/web:1',
  programLength: 1,
}
const LAUNCHED = { launch: { images: [{ name: IMAGE.reference }] }, mode: 'audit' }

describe('the summary of a pod', () => {
  let dir: string
  let path: string
  let uuid: string

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'holdfast-summary-'))
    const manifest = buildPodManifest([{ ...IMAGE, app: { ...APP, ...MORE } }], [{}], { hostname: 'web' })
    const { pod } = assemblePod(dir, newPodUuid(), manifest)
    const moved = movePod(dir, pod, 'run')
    ;({ path, uuid } = moved)
    mkdirSync(join(path, 'status'), { recursive: true })
    writeFileSync(join(path, 'launch.json'), JSON.stringify(LAUNCHED))
    writePodSummary(path, 'audit', manifest, LAUNCHED.launch.images)
    closeSync(pod.fd)
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  /** Of a status what a table shows, too. */
  const shown = ({ apps, createdAt, mode }: PodSummary): unknown => ({
    ...{ createdAt, mode },
    apps: apps.map(({ name, imageName, exitStatus }) => ({ name, imageName, exitStatus })),
  })
  const same = (): void => {
    const pod = findPod(dir, uuid)
    assert.deepEqual(shown(readPodSummary(pod)), shown(readPodStatus(pod)))
    assert.equal(readPodSummary(pod).mode, 'audit')
  }

  it('tells what the whole status tells, while an app runs and when it has ended', () => {
    same()
    writeFileSync(join(path, 'status/web'), '7\n')
    same()
    writeFileSync(join(path, 'status/web.json'), '{"phase":"ended","exitStatus":3}')
    same()
    assert.equal(readPodSummary(findPod(dir, uuid)).apps[0]?.exitStatus, 3)
  })

  it('spares the reading of manifest and launch record', () => {
    writeFileSync(join(path, 'pod'), 'no manifest')
    assert.throws(() => readPodStatus(findPod(dir, uuid)), { code: 'MANIFEST_NOT_JSON' })
    assert.equal(readPodSummary(findPod(dir, uuid)).apps[0]?.imageName, IMAGE.reference)
  })

  it('may be absent, as in a pod that an older version launched', () => {
    rmSync(join(path, 'summary.json'))
    same()
  })

  for (const [what, text] of [
    ['cut short', '{"v":1,"createdAtMs":17'],
    ['of another version', '{"v":2,"createdAtMs":1,"mode":"off","apps":[]}'],
    ['no object', '[]'],
    ['without a time', '{"v":1,"mode":"off","apps":[]}'],
    [
      'with a name that leads elsewhere',
      '{"v":1,"createdAtMs":1,"mode":"off","apps":[{"name":"../x","imageName":"y"}]}',
    ],
    ['not UTF-8', Buffer.from([0xff])],
  ] as const) {
    it(`is not believed when it is ${what}`, () => {
      writeFileSync(join(path, 'summary.json'), text)
      same()
    })
  }
})
