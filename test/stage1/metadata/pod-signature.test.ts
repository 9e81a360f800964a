import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { utf8 } from '../../../attestation/base/index.ts'
import { isSignedByPod, launchRequestOf, signAsPod } from '../../../stage1/metadata/pod-signature.ts'
import { metadataUrl, parseToken } from '../../../stage1/metadata/token.ts'
import { podUuid } from '../../../stage1/pod/index.ts'

const KEY = new Uint8Array(32).fill(7)
const POD = { uuid: '5c1d0000-0000-4000-8000-000000000001', launchRequest: '{"v":1}' }

describe('the signature of a pod', () => {
  it('is an HMAC under a key of this pod as it was measured', () => {
    const request = createHash('sha256').update(POD.launchRequest).digest('hex')
    const key = createHmac('sha256', KEY).update(`holdfast metadata hmac 1\0${POD.uuid}\0${request}`).digest()
    const expected = createHmac('sha512', key).update('content').digest('base64')
    assert.equal(signAsPod(KEY, POD, 'content'), expected)
  })

  it('is no other pod’s, no other content’s, no other machine’s, and not of the same pod measured otherwise', () => {
    const signature = signAsPod(KEY, POD, 'content')
    assert.ok(isSignedByPod(KEY, POD, 'content', signature))
    assert.ok(!isSignedByPod(KEY, { ...POD, uuid: POD.uuid.replace('5', '6') }, 'content', signature))
    assert.ok(!isSignedByPod(KEY, { ...POD, launchRequest: '{"v":2}' }, 'content', signature))
    assert.ok(!isSignedByPod(new Uint8Array(32), POD, 'content', signature))
    assert.ok(!isSignedByPod(KEY, POD, 'Content', signature))
    assert.ok(!isSignedByPod(KEY, POD, 'content', signature.slice(1)))
    assert.ok(!isSignedByPod(KEY, POD, 'content', ''))
  })

  it('hangs on the request of launch.json, where there is one', () => {
    assert.equal(launchRequestOf(utf8('{"answer":{"request":"{}"},"mode":"enforced"}')), '{}')
    for (const text of ['', '{', 'null', '7', '[]', '{"answer":null}', '{"answer":{"request":1}}']) {
      assert.equal(launchRequestOf(utf8(text)), undefined, text)
    }
    assert.equal(launchRequestOf(Uint8Array.of(0xff)), undefined)
    assert.equal(launchRequestOf(undefined), undefined)
  })
})

describe('the token in AC_METADATA_URL', () => {
  const secret = new Uint8Array(32).fill(0xfb)
  const uuid = podUuid(POD.uuid)
  const url = new URL(metadataUrl(uuid, secret))

  it('names the pod and holds its secret', () => {
    assert.equal(url.host, '169.254.169.255:18112')
    assert.deepEqual(parseToken(url.pathname.slice(1)), { uuid, secret })
  })

  it('is nothing else', () => {
    const token = url.pathname.slice(1)
    for (const other of [
      '',
      '.',
      uuid,
      `${uuid}.`,
      token.slice(1),
      `${token}A`,
      token.replace('-', '.'),
      token.toUpperCase(),
    ]) {
      assert.equal(parseToken(other), undefined, other)
    }
    assert.equal(parseToken(`../../run/${token}`), undefined)
    const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const taken = [...last].filter((c) => Buffer.from(parseToken(token.slice(0, -1) + c)?.secret ?? []).equals(secret))
    assert.equal(taken.length, 1, 'several forms of one token')
  })
})
