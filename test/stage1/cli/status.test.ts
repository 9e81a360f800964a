import assert from 'node:assert/strict'
import { closeSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { podJson } from '../../../stage1/cli/pod-json.ts'
import { imageId } from '../../../stage1/manifest/index.ts'
import {
  assemblePod,
  buildPodManifest,
  findPod,
  movePod,
  newPodUuid,
  readPodStatus,
} from '../../../stage1/pod/index.ts'
import { HOLDFAST_PROGRAM, run } from '../../support/holdfast.ts'
import { launchRequest, VIRTUAL_MACHINE } from '../../support/launch-request.ts'

const APP = { exec: ['/bin/web'], user: '0', group: '0', supplementaryGIDs: [], workingDirectory: '/', mountPoints: [] }
const MORE = { isolators: [], userAnnotations: {}, userLabels: {}, ports: [], environment: [] }
const IMAGE = { id: imageId(`sha256-${'ab'.repeat(32)}`), reference: 'web', programLength: 1 }
const SHARED_KERNEL = launchRequest()
const VM = { ...SHARED_KERNEL, stage1: { ...SHARED_KERNEL.stage1, machine: VIRTUAL_MACHINE.machine } }

describe('the status of a virtual machine that has ended', () => {
  let dir: string
  let path: string
  let uuid: string

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'holdfast-status-'))
    const manifest = buildPodManifest([{ ...IMAGE, app: { ...APP, ...MORE } }], [{}], { hostname: 'web' })
    const { pod } = assemblePod(dir, newPodUuid(), manifest)
    ;({ path, uuid } = movePod(dir, pod, 'run'))
    mkdirSync(join(path, 'status'), { recursive: true })
    closeSync(pod.fd)
    launched(VM)
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  const launched = (request: unknown): void =>
    writeFileSync(join(path, 'launch.json'), JSON.stringify({ answer: { request: JSON.stringify(request) } }))
  const ended = (told: unknown): void => writeFileSync(join(path, 'status/_vm.json'), JSON.stringify(told))
  const json = () => podJson(readPodStatus(findPod(dir, uuid)))
  const text = async (): Promise<string> => (await run(HOLDFAST_PROGRAM, ['status', '--dir', dir, uuid])).stdout

  it('says how, in lines that begin as every line does, whatever the guest has written', async () => {
    const message = 'the console ends with:\nstate=running\r\n\x1b]0;title\x07\u202e\n'
    ended({ end: 'crashed', message })
    const lines = (await text()).split('\n')
    assert.deepEqual(
      lines.filter((line) => /^(accelerator|vm-)/.test(line)),
      [
        'accelerator=tcg',
        'vm-end=crashed',
        'vm-message=the console ends with:',
        'vm-message=state=running',
        'vm-message=\\x1b]0;title\\x07\\u{202e}',
      ],
    )
    assert.deepEqual(
      lines.filter((line) => line.startsWith('state=')),
      ['state=exited'],
    )
    assert.deepEqual([json().accelerator, json().vmEnd], ['tcg', { end: 'crashed', message }])
  })

  it('says nothing more where it ended in order', async () => {
    ended({ end: 'poweroff', message: '' })
    assert.doesNotMatch(await text(), /^vm-/m)
    assert.deepEqual(json().vmEnd, { end: 'poweroff', message: '' })
  })

  it('is not known while it runs, or where its keeper could not write it', async () => {
    assert.deepEqual([json().accelerator, json().vmEnd], ['tcg', null])
    for (const odd of [{}, { end: 'crashed' }, { end: 1, message: '' }, [], 'crashed', null]) {
      ended(odd)
      assert.equal(json().vmEnd, null, JSON.stringify(odd))
    }
    assert.match(await text(), /^state=exited$/m)
  })

  it('is not read of a pod whose apps share the host kernel, for those may have written it', async () => {
    ended({ end: 'crashed', message: 'no' })
    launched(SHARED_KERNEL)
    assert.doesNotMatch(await text(), /^(accelerator|vm-)/m)
    assert.deepEqual([json().accelerator, json().vmEnd], [null, null])
  })

  it('is not read through a link, nor in any length', () => {
    symlinkSync('/etc/hostname', join(path, 'status/_vm.json'))
    assert.throws(json, { code: 'POD_DIRECTORY_FAILED' })
    rmSync(join(path, 'status/_vm.json'))
    ended({ end: 'crashed', message: 'x'.repeat(17 << 20) })
    assert.throws(json, { code: 'POD_FILE_BAD' })
  })
})
