import assert from 'node:assert/strict'
import { appraiseRequest, type RequestInput } from '../../../attestation/appraisal/index.ts'
import type { LaunchLogContent } from '../../../attestation/event-log/index.ts'
import { encodeLaunchRequest, type LaunchRequest } from '../../../attestation/protocol/index.ts'
import { appraiseLog, honestRequest, inputOf, measured, podRecord } from '../../support/appraisal.ts'
import { LogBuilder } from '../../support/launch-log.ts'
import { podManifest } from '../../support/launch-request.ts'

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
      () => measuredAs({ stage1: { ...REQUEST.stage1, tree: `erofs-verity-1:sha256:${'9'.repeat(64)}` } }),
      ['request.stage1'],
    ],
    [
      'whose host programs are others',
      () => measuredAs({ stage1: { ...REQUEST.stage1, hostPrograms: [] } }),
      ['request.stage1'],
    ],
    [
      'with an image of another tree',
      () => measuredAs({ images: [{ ...IMAGE, tree: `erofs-verity-1:sha256:${'9'.repeat(64)}` }] }),
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
