import assert from 'node:assert/strict'
import fc from 'fast-check'
import { canonicalJson, fromUtf8, utf8 } from '../../../attestation/base/index.ts'
import {
  encodeLaunchRequest,
  type LaunchRequest,
  LaunchRequestError,
  MAX_LAUNCH_REQUEST_BYTES,
  matchLaunchRequest,
  parseLaunchRequest,
  parsePodLaunch,
} from '../../../attestation/protocol/index.ts'
import { launchRequest } from '../../support/launch-request.ts'

describe('a launch request', () => {
  const request = launchRequest()
  const bytes = encodeLaunchRequest(request)
  const text = fromUtf8(bytes)
  const { node, mode, ...launch } = request

  it('is parsed as it was encoded', () => assert.deepEqual(parseLaunchRequest(bytes), request))

  const refused = [
    { name: 'white space', text: ` ${text}`, code: 'LAUNCH_REQUEST_NOT_CANONICAL' },
    { name: 'a member twice', text: text.replace('{"', '{"images":[],"'), code: 'LAUNCH_REQUEST_NOT_CANONICAL' },
    {
      name: 'another spelling of a letter',
      text: text.replace('enforce', '\\u0065nforce'),
      code: 'LAUNCH_REQUEST_NOT_CANONICAL',
    },
    {
      name: 'a fraction in the manifest',
      text: text.replace('"acVersion":', '"aa":0.5,"acVersion":'),
      code: 'LAUNCH_REQUEST_NOT_CANONICAL',
    },
    {
      name: 'an unpaired surrogate in the manifest',
      text: text.replace('"0.8.11"', '"\\ud800"'),
      code: 'LAUNCH_REQUEST_NOT_CANONICAL',
    },
    { name: 'text that is not JSON', text: text.slice(1), code: 'LAUNCH_REQUEST_INVALID' },
    {
      name: 'a manifest nested 100,000 deep',
      text: text.replace('"0.8.11"', `${'['.repeat(100_000)}${']'.repeat(100_000)}`),
      code: 'LAUNCH_REQUEST_INVALID',
    },
    { name: 'another version', text: text.replace('"v":1', '"v":2'), code: 'LAUNCH_REQUEST_INVALID' },
    { name: 'a mode that is not known', text: text.replace('enforce', 'trust'), code: 'LAUNCH_REQUEST_INVALID' },
    {
      name: 'an empty list of networks',
      text: canonicalJson({ ...request, networks: [] }),
      code: 'LAUNCH_REQUEST_INVALID',
    },
    {
      name: 'a port of the host that is none',
      text: canonicalJson({ ...request, ports: [{ name: 'web', protocol: 'tcp', podPort: 80, hostPort: 65536 }] }),
      code: 'LAUNCH_REQUEST_INVALID',
    },
    { name: 'no image', text: canonicalJson({ ...request, images: [] }), code: 'LAUNCH_REQUEST_INVALID' },
    {
      name: 'a field that is not known',
      text: canonicalJson({ ...request, extra: 1 }),
      code: 'LAUNCH_REQUEST_INVALID',
    },
    {
      name: 'an upper-case UUID',
      text: text.replace(request.pod.uuid, request.pod.uuid.toUpperCase()),
      code: 'LAUNCH_REQUEST_INVALID',
    },
  ]
  for (const { name, text, code } of refused) {
    it(`is refused with ${name}: ${code}`, () => assert.throws(() => parseLaunchRequest(utf8(text)), { code }))
  }
  it('is refused when it is not UTF-8', () => {
    assert.throws(() => parseLaunchRequest(Uint8Array.of(0xff)), { code: 'LAUNCH_REQUEST_INVALID' })
  })
  it('is refused when it is too large, before it is read', () => {
    assert.throws(() => parseLaunchRequest(new Uint8Array(MAX_LAUNCH_REQUEST_BYTES + 1)), {
      code: 'LAUNCH_REQUEST_TOO_LARGE',
    })
  })
  it('names each bad path', () => {
    const bad = canonicalJson({ ...request, network: 'bridge', relaxed: [1] })
    assert.throws(() => parseLaunchRequest(utf8(bad)), /\/network.*\/relaxed\/0/)
  })
  it('counts no bracket inside text as depth', () => {
    const deep = launchRequest({ pod: { ...request.pod, manifest: { a: '["'.repeat(200) } } })
    assert.deepEqual(parseLaunchRequest(encodeLaunchRequest(deep)), deep)
  })
  it('is a value or a LaunchRequestError for any JSON', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        try {
          parseLaunchRequest(utf8(json))
        } catch (err) {
          assert.ok(err instanceof LaunchRequestError)
        }
      }),
    )
  })

  it('without what the agent adds is what stage0 sends', () => {
    assert.deepEqual(parsePodLaunch(launch), launch)
    assert.throws(() => parsePodLaunch(request), { code: 'LAUNCH_REQUEST_INVALID' })
  })

  it('that the agent answers is matched with the launch that stage0 asked for', () => {
    assert.deepEqual(matchLaunchRequest(bytes, launch), { node, mode })
  })

  const others: [string, LaunchRequest][] = [
    [
      'another image',
      launchRequest({
        images: [{ ...request.images[0], id: `sha256-${'0'.repeat(64)}` } as LaunchRequest['images'][0]],
      }),
    ],
    ['another manifest', launchRequest({ pod: { ...request.pod, manifest: {} } })],
    ['another volume', launchRequest({ volumes: [{ name: 'v', kind: 'host', source: '/', readOnly: false }] })],
  ]
  for (const [name, other] of others) {
    it(`that the agent answers with ${name} is refused`, () => {
      assert.throws(() => matchLaunchRequest(encodeLaunchRequest(other), launch), { code: 'LAUNCH_REQUEST_DIFFERS' })
    })
  }
  it('that the agent answers without a node, a mode, or as no JSON is refused', () => {
    for (const bad of [
      canonicalJson(launch),
      canonicalJson({ ...request, node: 'x' }),
      canonicalJson({ ...request, mode: 'x' }),
      'null',
      '{',
    ]) {
      assert.throws(() => matchLaunchRequest(utf8(bad), launch), { code: 'LAUNCH_REQUEST_INVALID' })
    }
    const long = new Uint8Array(MAX_LAUNCH_REQUEST_BYTES + 1)
    assert.throws(() => matchLaunchRequest(long, launch), { code: 'LAUNCH_REQUEST_TOO_LARGE' })
  })
})
