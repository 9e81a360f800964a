import assert from 'node:assert/strict'
import { appraiseRequest, type RequestInput } from '../../../attestation/appraisal/index.ts'
import type { LaunchLogContent } from '../../../attestation/event-log/index.ts'
import { encodeLaunchRequest, type LaunchRequest } from '../../../attestation/protocol/index.ts'
import { appraiseLog, honestRequest, inputOf, measured, podRecord } from '../../support/appraisal.ts'
import { LogBuilder } from '../../support/launch-log.ts'
import { podManifest, VIRTUAL_MACHINE } from '../../support/launch-request.ts'

const REQUEST = honestRequest()
const IMAGE = REQUEST.images[0] as LaunchRequest['images'][0] // the request has one
const log = (...extra: readonly LaunchLogContent[]) => new LogBuilder().agent().add(...measured(REQUEST), ...extra)
const failed = (input: RequestInput) =>
  appraiseRequest(input)
    .filter((f) => f.tier !== 'affirming')
    .map((f) => f.rule)
const of = (request: LaunchRequest, builder = log(), over: Partial<RequestInput> = {}) =>
  failed({ ...inputOf(request, appraiseLog(builder)), ...over })
/** A request whose own pod record is in the log, so that only what it says of its parts can be wrong. */
const measuredAs = (over: Partial<LaunchRequest>) => {
  const request = honestRequest(over)
  return of(request, log({ ...podRecord(request) }))
}

const MACHINE = { ...REQUEST.stage1, machine: VIRTUAL_MACHINE.machine }
const VIRTUAL = honestRequest({ stage1: MACHINE, guest: VIRTUAL_MACHINE.guest })
const virtualLog = (...extra: readonly LaunchLogContent[]) =>
  new LogBuilder().agent().add(...measured(VIRTUAL), ...extra)

describe('a launch request of a virtual machine', () => {
  it('that says what was measured passes every rule', () => assert.deepEqual(of(VIRTUAL, virtualLog()), []))

  const otherwise = (stage1: LaunchRequest['stage1'], guest: LaunchRequest['guest'] = VIRTUAL_MACHINE.guest) => {
    const request = honestRequest({ stage1, ...(guest === undefined ? {} : { guest }) })
    return of(request, virtualLog(podRecord(request)))
  }
  const others: [string, NonNullable<LaunchRequest['stage1']['machine']>][] = [
    ['accelerator', { ...VIRTUAL_MACHINE.machine, accelerator: 'kvm' }],
    ['kernel', { ...VIRTUAL_MACHINE.machine, kernel: '99'.repeat(32) }],
    ['initramfs', { ...VIRTUAL_MACHINE.machine, initramfs: '99'.repeat(32) }],
    ['command line', { ...VIRTUAL_MACHINE.machine, commandLine: 'init=/bin/sh' }],
    ['firmware', { ...VIRTUAL_MACHINE.machine, firmware: [] }],
  ]
  for (const [name, machine] of others) {
    it(`is refused with another ${name} than was measured`, () =>
      assert.deepEqual(otherwise({ ...MACHINE, machine }), ['request.stage1']))
  }

  it('is refused where the archive of its guest was measured as another', () =>
    assert.deepEqual(of(VIRTUAL, virtualLog({ ...podRecord(VIRTUAL), guest: '99'.repeat(32) })), ['request.pod']))

  it('is refused where the log names no guest', () => {
    const { guest: _, ...record } = podRecord(VIRTUAL)
    assert.deepEqual(of(VIRTUAL, virtualLog(record)), ['request.pod'])
  })

  it('is refused with a guest and no machine, and the other way round', () => {
    assert.ok(otherwise(REQUEST.stage1).includes('request.manifest'))
    const machineAlone = honestRequest({ stage1: MACHINE })
    assert.ok(of(machineAlone, virtualLog(podRecord(machineAlone))).includes('request.manifest'))
  })
})

describe('a launch request', () => {
  it('that says what was measured passes every rule', () => assert.deepEqual(of(REQUEST), []))

  const cases: [string, () => string[], string[]][] = [
    ['of another node', () => of(REQUEST, log(), { nodeId: '99'.repeat(32) }), ['request.node']],
    ['before any log is proven', () => of(REQUEST, log(), { boot: undefined }), ['request.log']],
    ['with records behind the quote', () => of(REQUEST, log(), { unprovenRecords: 1 }), ['request.log']],
    ['in another mode than the agent measured', () => measuredAs({ mode: 'audit' }), ['request.mode']],
    [
      'of a pod that was not measured',
      () => of(REQUEST, new LogBuilder().agent().add(...measured(REQUEST).slice(0, -1))),
      ['request.pod'],
    ],
    [
      'of a pod that was measured for other bytes',
      () => of(REQUEST, log(), { bytes: encodeLaunchRequest(honestRequest({ network: 'host' })) }),
      ['request.pod'],
    ],
    [
      'of a pod that was denied since',
      () =>
        of(REQUEST, log({ record: 'denied', uuid: REQUEST.pod.uuid, request: podRecord(REQUEST).request, code: 'NO' })),
      ['request.pod'],
    ],
    [
      'of a pod that runs',
      () =>
        of(
          REQUEST,
          log({ record: 'launch', uuid: REQUEST.pod.uuid, request: podRecord(REQUEST).request, mode: 'enforce' }),
        ),
      ['request.pod'],
    ],
    [
      'of a pod measured with another manifest',
      () => of(REQUEST, log({ ...podRecord(REQUEST), manifest: '99'.repeat(32) })),
      ['request.pod'],
    ],
    [
      'of a pod measured with another stage1',
      () => of(REQUEST, log({ ...podRecord(REQUEST), stage1: IMAGE.id })),
      ['request.pod'],
    ],
    [
      'of a pod measured with other images',
      () => of(REQUEST, log({ ...podRecord(REQUEST), images: [IMAGE.id, IMAGE.id] })),
      ['request.pod'],
    ],
    [
      'whose stage1 has another tree',
      () => measuredAs({ stage1: { ...REQUEST.stage1, tree: `erofs-verity-2:sha256:${'9'.repeat(64)}` } }),
      ['request.stage1'],
    ],
    [
      'whose host programs are others',
      () => measuredAs({ stage1: { ...REQUEST.stage1, hostPrograms: [] } }),
      ['request.stage1'],
    ],
    [
      'with an image of another tree',
      () => measuredAs({ images: [{ ...IMAGE, tree: `erofs-verity-2:sha256:${'9'.repeat(64)}` }] }),
      ['request.images'],
    ],
    [
      'with an image under another name',
      () => measuredAs({ images: [{ ...IMAGE, name: 'registry.example/other' }] }),
      ['request.images'],
    ],
    [
      'with signers that were not measured',
      () => measuredAs({ images: [{ ...IMAGE, signers: [{ key: 'k', checkedAt: 't' }] }] }),
      ['request.images'],
    ],
    [
      'let in by another image policy than was measured',
      () => measuredAs({ images: [{ ...IMAGE, policy: { sha256: 'ab'.repeat(32), scope: 'default' } }] }),
      ['request.images'],
    ],
    [
      'that leaves out what was relaxed',
      () => of(REQUEST, log({ record: 'image', ...IMAGE, relaxed: ['image'] })),
      ['request.images'],
    ],
    [
      'with a second image that was not measured',
      () => measuredAs({ images: [IMAGE, { ...IMAGE, name: 'other' }] }),
      ['request.images'],
    ],
    [
      'whose manifest is not the one its digest says',
      () => {
        const request = { ...REQUEST, pod: { ...REQUEST.pod, manifest: { acVersion: '0.8.12' } } }
        return of(request, log(podRecord(request)))
      },
      ['request.manifest'],
    ],
    [
      'whose manifest is none',
      () => measuredAs({ pod: { ...REQUEST.pod, manifest: { acVersion: '0.8.11' } } }),
      ['request.manifest'],
    ],
    [
      'whose manifest starts another image than it names',
      () => {
        const other = { ...IMAGE, id: `sha256-${'ab'.repeat(32)}` }
        return measuredAs({ pod: { ...REQUEST.pod, manifest: podManifest([other]) } })
      },
      ['request.manifest'],
    ],
    [
      'that names a port that is not in its manifest',
      () => measuredAs({ ports: [{ name: 'web', protocol: 'tcp', podPort: 80, hostPort: 80 }] }),
      ['request.manifest'],
    ],
    ['whose network is CNI without a network', () => measuredAs({ network: 'cni' }), ['request.manifest']],
    [
      'that leaves out an isolator of its manifest',
      () => {
        const manifest = podManifest([IMAGE], [{ name: 'os/linux/capabilities-retain-set', value: '{"set":["all"]}' }])
        return measuredAs({ pod: { ...REQUEST.pod, manifest } })
      },
      ['request.manifest'],
    ],
  ]
  for (const [name, run, rules] of cases) {
    it(`${name} is contraindicated by ${rules}`, () => assert.deepEqual(run(), rules))
  }
})
