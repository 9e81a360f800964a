import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { utf8 } from '../../../attestation/base/index.ts'
import { BUILT_IN_POLICY, SignatureError } from '../../../stage1/signatures/index.ts'
import { type ImagePolicy, parseImagePolicy, type SignedIdentity } from '../../../stage1/signatures/policy.ts'
import { requirementsFor } from '../../../stage1/signatures/scope.ts'
import { identityFault } from '../../../stage1/signatures/signed-identity.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const parse = (policy: unknown): ImagePolicy => parseImagePolicy(utf8(JSON.stringify(policy)), 'policy')
const withRule = (rule: unknown) => ({
  default: [{ type: 'reject' }],
  transports: { docker: { 'registry.example': [rule] } },
})
const KEY = 'bm9uc2Vuc2U='

describe('image policies', () => {
  it('config/image-policy.json is what is built in', () => {
    const file = fileURLToPath(new URL('../../../config/image-policy.json', import.meta.url))
    assert.equal(readFileSync(file, 'utf8'), BUILT_IN_POLICY)
  })

  it('what nobody wrote a policy about: an ACI is to be signed, and nothing else is admitted', () => {
    const policy = parseImagePolicy(utf8(BUILT_IN_POLICY), 'built-in')
    const of = (kind: 'oci' | 'aci', name: string) =>
      requirementsFor(policy, { kind, name, manifestName: 'example.com/app' }).requirements.map((r) => r.type)
    assert.deepEqual(of('aci', '/srv/app.aci'), ['signedByTrustedKey'])
    for (const name of [
      'docker://registry.example/app:1',
      'oci:/srv/app:1',
      'docker-archive:/srv/app.tar',
      '/srv/app.tar',
    ])
      assert.deepEqual(of('oci', name), ['reject'])
  })

  it('that of image-rs parses, and its scopes are found', function () {
    const vectors = externalVectors('sigstore') ?? skipWithoutVectors(this, 'sigstore')
    const policy = parseImagePolicy(vectors.read('image-rs-policy.json'), 'image-rs-policy.json')
    const scopeOf = (reference: string) =>
      requirementsFor(policy, { kind: 'oci', name: `docker://${reference}`, manifestName: '' }).scope
    assert.equal(scopeOf('example.com/playground/x:1'), 'docker example.com/playground')
    assert.equal(scopeOf('registry.access.redhat.com/x:1'), 'docker registry.access.redhat.com')
    assert.equal(scopeOf('other.access.redhat.com/x:1'), 'docker *.access.redhat.com')
    assert.equal(scopeOf('quay.redhat.com/x:1'), 'docker *.redhat.com')
    assert.equal(scopeOf('example.com/other:1'), 'docker *.com')
    assert.equal(scopeOf('registry.example/other:1'), 'default')
  })

  const refused: { name: string; policy: unknown; message: RegExp }[] = [
    { name: 'no default', policy: {}, message: /\$\.default/ },
    { name: 'an empty default', policy: { default: [] }, message: /\$\.default/ },
    {
      name: 'a member that is misspelt',
      policy: { ...withRule({ type: 'reject' }), transport: {} },
      message: /\$\.transport: unknown member/,
    },
    {
      name: 'a transport that is not known',
      policy: { default: [{ type: 'reject' }], transports: { dokcer: {} } },
      message: /\$\.transports\.dokcer/,
    },
    {
      name: 'a requirement that is not known',
      policy: withRule({ type: 'signedBySomebody' }),
      message: /docker\["registry\.example"\]\[0\]\.type/,
    },
    {
      name: 'a member of another requirement',
      policy: withRule({ type: 'reject', keyData: KEY }),
      message: /\[0\]\.keyData: unknown member/,
    },
    { name: 'no key', policy: withRule({ type: 'sigstoreSigned' }), message: /exactly one of keyPath/ },
    {
      name: 'a key given twice',
      policy: withRule({ type: 'sigstoreSigned', keyData: KEY, keyPath: '/k' }),
      message: /exactly one of/,
    },
    {
      name: 'a relative path',
      policy: withRule({ type: 'sigstoreSigned', keyPath: 'k.pub' }),
      message: /absolute path/,
    },
    {
      name: 'a key that is not base64',
      policy: withRule({ type: 'sigstoreSigned', keyData: '-----' }),
      message: /base64/,
    },
    {
      name: 'an identity that is not known',
      policy: withRule({ type: 'sigstoreSigned', keyData: KEY, signedIdentity: { type: 'any' } }),
      message: /signedIdentity\.type/,
    },
    {
      name: 'a certificate without its log',
      policy: withRule({ type: 'sigstoreSigned', fulcio: { caData: KEY, oidcIssuer: 'i', subjectEmail: 'e' } }),
      message: /rekorPublicKey/,
    },
    {
      name: 'a certificate of nobody',
      policy: withRule({ type: 'sigstoreSigned', fulcio: { trustedRootPath: '/r', oidcIssuer: 'i' } }),
      message: /subjectEmail, subject, subjectPattern/,
    },
    {
      name: 'a certificate of anybody',
      policy: withRule({
        type: 'sigstoreSigned',
        fulcio: { trustedRootPath: '/r', oidcIssuer: 'i', subjectPattern: '**' },
      }),
      message: /anybody/,
    },
    {
      name: 'keys that are not GPG',
      policy: withRule({ type: 'signedBy', keyType: 'X509', keyData: KEY }),
      message: /keyType/,
    },
  ]
  for (const { name, policy, message } of refused) {
    it(`are refused with ${name}, and the message says where`, () => {
      assert.throws(
        () => parse(policy),
        (err: Error) => err instanceof SignatureError && err.code === 'IMAGE_POLICY_BAD' && message.test(err.message),
      )
    })
  }

  it('are refused with one scope given twice: two readers would take two of them', () => {
    const text =
      '{"default":[{"type":"reject"}],"transports":{"docker":{"a":[{"type":"reject"}],"a":[{"type":"insecureAcceptAnything"}]}}}'
    assert.throws(() => parseImagePolicy(utf8(text), 'policy'), { code: 'IMAGE_POLICY_BAD' })
  })

  it('any bytes are a policy or a coded error', () => {
    const texts = fc.oneof(
      fc.json(),
      fc.string(),
      fc.json().map((j) => `{"default":[{"type":"sigstoreSigned","fulcio":${j}}]}`),
    )
    fc.assert(
      fc.property(texts, (text) => {
        try {
          parseImagePolicy(utf8(text.toWellFormed()), 'policy')
        } catch (err) {
          assert.ok(err instanceof SignatureError && err.code === 'IMAGE_POLICY_BAD', String(err))
        }
      }),
      { numRuns: fuzzRuns(300) },
    )
  })

  const exact = {
    default: [{ type: 'reject' }],
    transports: {
      docker: {
        'r.example/a/b:1': [{ type: 'reject' }],
        'r.example/a/b': [{ type: 'reject' }],
        'r.example:5000': [{ type: 'reject' }],
      },
      oci: { '/srv/a:x': [{ type: 'reject' }], '/srv': [{ type: 'reject' }] },
      aci: { 'example.com/a': [{ type: 'reject' }], '': [{ type: 'reject' }] },
    },
  }
  for (const [kind, name, manifestName, scope] of [
    ['oci', 'docker://r.example/a/b:1', '', 'docker r.example/a/b:1'],
    ['oci', 'docker://r.example/a/b:2', '', 'docker r.example/a/b'],
    ['oci', `docker://r.example/a/b:1@sha256:${'0'.repeat(64)}`, '', 'docker r.example/a/b'],
    ['oci', 'docker://r.example/a/bc:1', '', 'default'],
    ['oci', 'docker://r.example:5000/a/b:1', '', 'docker r.example:5000'],
    ['oci', 'oci:/srv/a:x', '', 'oci /srv/a:x'],
    ['oci', 'oci:/srv/a:y', '', 'oci /srv'],
    ['oci', 'oci:/srva', '', 'default'],
    ['aci', '/x.aci', 'example.com/a/b', 'aci example.com/a'],
    ['aci', '/x.aci', 'example.com/ab', 'aci ""'],
  ] as const) {
    it(`${name} ${manifestName} is in the scope ${scope}`, () => {
      assert.equal(requirementsFor(parse(exact), { kind, name, manifestName }).scope, scope)
    })
  }
})

describe('the reference that a signature names', () => {
  const digest = `sha256:${'a'.repeat(64)}`
  const cases: { identity: SignedIdentity; image: string; signed: string | undefined; fits: boolean }[] = [
    { identity: { type: 'matchExact' }, image: 'r.example/a:1', signed: 'r.example/a:1', fits: true },
    { identity: { type: 'matchExact' }, image: 'r.example/a:1', signed: 'r.example/a', fits: false },
    { identity: { type: 'matchExact' }, image: `r.example/a@${digest}`, signed: 'r.example/a:1', fits: false },
    { identity: { type: 'matchRepoDigestOrExact' }, image: 'r.example/a:1', signed: 'r.example/a:2', fits: false },
    {
      identity: { type: 'matchRepoDigestOrExact' },
      image: `r.example/a@${digest}`,
      signed: 'r.example/a:2',
      fits: true,
    },
    { identity: { type: 'matchRepository' }, image: 'r.example/a:1', signed: 'r.example/a', fits: true },
    { identity: { type: 'matchRepository' }, image: 'r.example/a:1', signed: 'r.example/ab', fits: false },
    { identity: { type: 'matchRepository' }, image: 'docker.io/library/busybox:1', signed: 'busybox', fits: true },
    { identity: { type: 'matchRepository' }, image: 'docker.io/x/y:1', signed: 'index.docker.io/x/y', fits: true },
    {
      identity: { type: 'exactReference', dockerReference: 'q.example/a:1' },
      image: 'r.example/b:2',
      signed: 'q.example/a:1',
      fits: true,
    },
    {
      identity: { type: 'exactRepository', dockerRepository: 'q.example/a' },
      image: 'r.example/b:2',
      signed: 'q.example/a:7',
      fits: true,
    },
    {
      identity: { type: 'exactRepository', dockerRepository: 'q.example/a' },
      image: 'r.example/b:2',
      signed: 'r.example/b:2',
      fits: false,
    },
    {
      identity: { type: 'remapIdentity', prefix: 'm.example', signedPrefix: 'r.example/x' },
      image: 'm.example/a:1',
      signed: 'r.example/x/a:1',
      fits: true,
    },
    {
      identity: { type: 'remapIdentity', prefix: 'm.ex', signedPrefix: 'r.ex' },
      image: 'm.example/a:1',
      signed: 'r.example/a:1',
      fits: false,
    },
    { identity: { type: 'matchRepository' }, image: 'r.example/a:1', signed: undefined, fits: false },
    { identity: { type: 'matchDigest' }, image: 'r.example/a:1', signed: undefined, fits: true },
    { identity: { type: 'matchRepository' }, image: 'r.example/a:1', signed: 'r.example/a b', fits: false },
  ]
  for (const { identity, image, signed, fits } of cases) {
    it(`${signed} ${fits ? 'is' : 'is not'} taken for ${image} by ${identity.type}`, () => {
      assert.equal(identityFault(identity, `docker://${image}`, signed) === undefined, fits)
    })
  }

  it('an image without a docker reference has to be told what it is signed as', () => {
    assert.match(identityFault({ type: 'matchRepository' }, 'oci:/srv/a:1', 'r.example/a') ?? '', /exactRepository/)
  })
})
