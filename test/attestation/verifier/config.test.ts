import assert from 'node:assert/strict'
import { join } from 'node:path'
import { parseVerifierConfig, readVerifierConfig } from '../../../attestation/verifier/index.ts'

const file = 'verifier.yaml'
const good = 'policies: /etc/holdfast/policies\n'

describe("the verifier's configuration", () => {
  it('needs the directory of policies only', () => {
    const c = parseVerifierConfig(good, file)
    assert.deepEqual(c.listen, { host: '0.0.0.0', port: 7443 })
    assert.equal(c.enrolment.admission, 'manual')
    assert.deepEqual(c.attestation.pcrs, [0, 1, 2, 3, 4, 5, 6, 7])
    assert.equal(c.storeFile, '/var/lib/holdfast-verifier/store.sqlite')
  })

  it('that we ship has the defaults written out', () => {
    const shipped = readVerifierConfig(join(import.meta.dirname, '../../../config/verifier.yaml'))
    const { tls: _, ...rest } = shipped
    const { tls: __, ...defaults } = parseVerifierConfig(good, file)
    assert.deepEqual(rest, defaults)
  })

  it('takes a period that is longer than a nonce lives and a ticket is waited for', () => {
    const text = `${good}attestation: {periodSeconds: 600, silentAfterSeconds: 1800}\n`
    assert.equal(parseVerifierConfig(text, file).attestation.periodMs, 600_000)
  })

  it('takes an IPv6 address to listen on', () => {
    assert.deepEqual(parseVerifierConfig(`${good}listen: '[::1]:443'\n`, file).listen, { host: '::1', port: 443 })
  })

  it('has no API unless it says where; then over TLS, or on loopback in clear text', () => {
    const api = (text: string) => parseVerifierConfig(`${good}${text}`, file).api
    assert.equal(api(''), undefined)
    assert.deepEqual(api('api: {listen: 0.0.0.0:7444}\n'), {
      ...{ listen: { host: '0.0.0.0', port: 7444 }, plainHttp: false, connections: 1000, streams: 64 },
      ...{ requestsPerSecond: 20, requestsPerAddressPerSecond: 50 },
    })
    for (const address of ['127.0.0.1', '"[::1]']) {
      const quote = address.startsWith('"') ? '"' : ''
      assert.equal(api(`api: {listen: ${address}:7444${quote}, plainHttp: true}\n`)?.plainHttp, true)
    }
  })

  const wrong: readonly [string, string, RegExp][] = [
    ['an API that does not say where', `${good}api: {streams: 3}\n`, /'api\.listen' is missing/],
    [
      'an API in clear text on the network',
      `${good}api: {listen: 0.0.0.0:7444, plainHttp: true}\n`,
      /^verifier\.yaml:2:\d+: 'api\.plainHttp' would send tokens over the network in clear text/,
    ],
    [
      'an API in clear text on an address that only looks like loopback',
      `${good}api: {listen: "127.0.0.1.example:7444", plainHttp: true}\n`,
      /'api\.plainHttp' would send tokens/,
    ],
    ['an API on localhost', `${good}api: {listen: localhost:7444}\n`, /write 127\.0\.0\.1 or/],
    ['an API on a port that there is not', `${good}api: {listen: 127.0.0.1:70000}\n`, /last one is 65535/],
    ['a missing setting', 'listen: 0.0.0.0:1\n', /^verifier\.yaml:1:1: the setting 'policies' is missing/],
    [
      'a setting that does not exist',
      `${good}polices: /x\n`,
      /^verifier\.yaml:2:1: there is no setting 'polices'; did you mean 'policies'\?/,
    ],
    [
      'a setting in the wrong block',
      `${good}limits:\n  admission: manual\n`,
      /:3:3: there is no setting 'limits\.admission'/,
    ],
    ['a relative path', 'policies: etc\n', /:1:1: 'policies' wants an absolute path/],
    [
      'an unknown admission',
      `${good}enrolment:\n  admission: everybody\n`,
      /:3:3: .*manual, token, listed, got "everybody"/,
    ],
    ['a period of more than a day', `${good}attestation: {periodSeconds: 86401}\n`, /:2:15: .*1 to 86400/],
    ['a ticket that lives too long', `${good}launch: {ticketSeconds: 61}\n`, /5 to 60/],
    ['a node ID that is none', `${good}enrolment:\n  listed:\n    - abc\n`, /:4:7: .*node ID/],
    ['a resettable register', `${good}attestation: {registers: [16]}\n`, /8 to 15/],
    ["IMA's register", `${good}attestation: {registers: [10]}\n`, /PCR 10/],
    ['one register for boot and launch log', `${good}attestation: {pcrs: [0, 15]}\n`, /PCR 15/],
    [
      'silence shorter than the period',
      `${good}attestation: {periodSeconds: 30, silentAfterSeconds: 30}\n`,
      /silentAfterSeconds/,
    ],
    ['a certificate without its key', `${good}tls: {certificate: /c.pem}\n`, /go together/],
    ['admission by a list that is empty', `${good}enrolment: {admission: listed}\n`, /names no node/],
    ['a port that does not exist', `${good}listen: 0.0.0.0:70000\n`, /65535/],
    ['text that is no YAML', 'policies: [\n', /^verifier\.yaml:\d+:\d+: /],
    ['a setting given twice', `${good}${good}`, /:2:1: .*unique/],
    ['an alias', 'policies: &a /x\ndataDirectory: *a\n', /aliases are not read/],
    ['a list instead of settings', '- a\n', /wants a map of settings/],
    [
      'a webhook in clear text',
      `${good}webhooks: [{url: "http://alerts.example/x", secretFile: /s}]\n`,
      /:2:\d+: .*clear text; use https/,
    ],
    [
      'a webhook with a password',
      `${good}webhooks: [{url: "https://user:geheim@alerts.example/x", secretFile: /s}]\n`,
      /^verifier\.yaml:2:\d+: '[^']+' names a user or a password(?!.*geheim)/,
    ],
    [
      'a webhook without its secret',
      `${good}webhooks: [{url: "https://alerts.example/x"}]\n`,
      /'webhooks.0.secretFile' is missing/,
    ],
    [
      'a webhook named twice',
      `${good}webhooks: [{url: "https://a.example", secretFile: /s}, {url: "https://a.example", secretFile: /s}]\n`,
      /named twice/,
    ],
    [
      'a standing that does not exist',
      `${good}webhooks: [{url: "https://a.example", secretFile: /s, standings: [angry]}]\n`,
      /trusted, warning, failed, stale, pending, quarantined/,
    ],
  ]
  for (const [what, text, message] of wrong) {
    it(`refuses ${what}`, () => {
      assert.throws(() => parseVerifierConfig(text, file), { code: 'VERIFIER_CONFIG_INVALID', message })
    })
  }

  it('lists all mistakes at once, in order', () => {
    const text = 'listen: x\npolices: /x\nlogLevel: loud\n'
    assert.throws(() => parseVerifierConfig(text, file), {
      message:
        /^verifier\.yaml:1:1: .*'policies' is missing[\s\S]*verifier\.yaml:1:1: 'listen'[\s\S]*:2:1: [\s\S]*:3:1: /,
    })
  })

  it('that is not there is an error that says where to begin', () => {
    assert.throws(() => readVerifierConfig('/nowhere/verifier.yaml'), {
      code: 'VERIFIER_CONFIG_UNREADABLE',
      message: /config\/verifier\.yaml/,
    })
  })
})
