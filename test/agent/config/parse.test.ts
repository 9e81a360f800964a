import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { AgentConfigError, parseAgentConfig } from '../../../agent/config/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const GOOD = `tcti: device:/dev/tpmrm0
verifier:
  url: wss://verifier.example:7443/v1/agent
  trust: /etc/holdfast/trust.json
`

function mistakes(text: string): string[] {
  try {
    parseAgentConfig(text, 'agent.yaml')
  } catch (err) {
    assert.ok(err instanceof AgentConfigError, String(err))
    assert.equal(err.code, 'AGENT_CONFIG_INVALID')
    return err.message.split('\n')
  }
  return []
}

describe('agent configuration', () => {
  it('has a default for everything but the TPM and the verifier', () => {
    assert.deepEqual(parseAgentConfig(GOOD, 'agent.yaml'), {
      tcti: 'device:/dev/tpmrm0',
      pcr: 15,
      mode: 'enforce',
      dataDirectory: '/var/lib/holdfast',
      runDirectory: '/run/holdfast',
      socketGroup: 'holdfast',
      verifier: {
        url: 'wss://verifier.example:7443/v1/agent',
        trust: '/etc/holdfast/trust.json',
        tlsSpkiSha256: [],
        ticketKeys: [],
      },
      machineLogs: {
        firmware: '/sys/kernel/security/tpm0/binary_bios_measurements',
        systemd: '/run/log/systemd/tpm2-measure.log',
        ima: '/sys/kernel/security/ima/binary_runtime_measurements',
      },
      launchTimeoutMs: 10_000,
      logLevel: 'info',
    })
  })

  it('accepts the file that the project ships, and every setting that is commented out in it', () => {
    const shipped = readFileSync(new URL('../../../config/agent.yaml', import.meta.url), 'utf8')
    assert.equal(parseAgentConfig(shipped, 'agent.yaml').mode, 'enforce')
    const all = shipped
      .replace(/^# (banks|enrolmentTokenFile|stopPodsAfterSilenceSeconds):/gm, '$1:')
      .replace(/^ {2}# (ca|ticketKeys):/gm, '  $1:')
    const config = parseAgentConfig(all, 'agent.yaml')
    assert.deepEqual(config.banks, ['sha256'])
    assert.equal(config.stopPodsAfterSilenceMs, 3_600_000)
    assert.equal(config.enrolmentTokenFile, '/etc/holdfast/enrolment-token')
    assert.deepEqual(config.verifier?.ticketKeys, ['/etc/holdfast/ticket-key.pem'])
  })

  it('needs no verifier in mode off', () => {
    const config = parseAgentConfig('tcti: device:/dev/tpm0\nmode: off\n', 'agent.yaml')
    assert.equal(config.mode, 'off')
    assert.equal(config.verifier, undefined)
  })

  it('lists every mistake at once, each with line and column', () => {
    const text = `tcti: 7
pcr: 16
mod: enforce
verifier:
  url: https://verifier.example
  ticketKeys: [relative/key.pem]
banks:
  - sha256
  - md5
`
    const found = mistakes(text)
    const starts = found.map((line) => line.replace(/: .*/, ''))
    assert.deepEqual(starts, [
      'agent.yaml:1:1',
      'agent.yaml:2:1',
      'agent.yaml:3:1',
      'agent.yaml:5:3',
      'agent.yaml:6:16',
      'agent.yaml:9:5',
    ])
    assert.match(found[0] ?? '', /'tcti' wants a TCTI configuration.*got 7/)
    assert.match(found[2] ?? '', /there is no setting 'mod'; did you mean 'mode'\?/)
    assert.match(found[5] ?? '', /one of sha1, sha256, sha384, sha512, got "md5"/)
  })

  const refused = [
    { name: 'an empty file', text: '', why: /'tcti' is missing/ },
    { name: 'a list instead of settings', text: '- a\n- b\n', why: /the file wants a map of settings/ },
    { name: 'a missing verifier', text: 'tcti: x\n', why: /'verifier' is missing; mode enforce asks a verifier/ },
    {
      name: 'a missing address',
      text: 'tcti: x\nverifier:\n  trust: /t\n',
      why: /yaml:2:1: .*'verifier.url' is missing/,
    },
    { name: 'a setting that is there twice', text: `${GOOD}tcti: y\n`, why: /yaml:5:1: Map keys must be unique/ },
    { name: 'YAML that is none', text: 'tcti: [\n', why: /yaml:2:1: / },
    { name: 'an alias', text: `a: &a x\ntcti: *a\n`, why: /aliases are not read here/ },
    { name: 'two documents', text: `${GOOD}---\n${GOOD}`, why: /yaml:5:1: / },
    { name: 'an unencrypted address', text: GOOD.replace('wss:', 'ws:'), why: /'verifier.url' wants .*wss:/ },
    {
      name: 'a verifier that nothing identifies',
      text: 'tcti: x\nverifier:\n  url: wss://v\n',
      why: /no ticket could be/,
    },
    {
      name: 'tickets without anything that identifies the TLS peer',
      text: 'tcti: x\nverifier:\n  url: wss://v\n  ticketKeys: [/k.pem]\n',
      why: /no verifier could be recognised/,
    },
    { name: 'a short pin', text: `${GOOD}  tlsSpkiSha256: [abcd]\n`, why: /64 hexadecimal digits, got "abcd"/ },
    { name: 'a timeout of text', text: `${GOOD}launchTimeoutSeconds: soon\n`, why: /seconds, 1 to 60, got "soon"/ },
    {
      name: 'pods stopped by a silence as short as that between two answers',
      text: `${GOOD}stopPodsAfterSilenceSeconds: 60\n`,
      why: /seconds, 120 to 604800/,
    },
    {
      name: 'pods stopped by silence that start without asking',
      text: `${GOOD}mode: audit\nstopPodsAfterSilenceSeconds: 600\n`,
      why: /:6:1: .*mode audit/,
    },
    { name: 'a timeout too long', text: `${GOOD}launchTimeoutSeconds: 3600\n`, why: /seconds, 1 to 60/ },
    { name: 'an unknown mode', text: `${GOOD}mode: lenient\n`, why: /one of enforce, audit, off, got "lenient"/ },
    { name: 'a mode that YAML 1.1 took for a boolean', text: `${GOOD}mode: no\n`, why: /one of enforce, audit, off/ },
    { name: 'a relative data directory', text: `${GOOD}dataDirectory: data\n`, why: /an absolute path/ },
    { name: 'the same bank twice', text: `${GOOD}banks: [sha256, sha256]\n`, why: /'banks' wants a list/ },
    {
      name: 'a token and a file with the token',
      text: `${GOOD}enrolmentToken: a\nenrolmentTokenFile: /b\n`,
      why: /yaml:6:1: .*keep one/,
    },
    { name: 'a file that is far too long', text: `# ${'x'.repeat(70_000)}`, why: /more than 65536 characters/ },
  ]
  for (const { name, text, why } of refused) {
    it(`refuses ${name}`, () => assert.match(mistakes(text).join('\n'), why))
  }

  for (const [pcr, why] of [
    [0, /firmware/],
    [7, /firmware/],
    [10, /IMA/],
    [16, /anyone on the node may reset it/],
    [17, /DRTM/],
    [22, /DRTM/],
    [23, /anyone on the node may reset it/],
  ] as const) {
    it(`refuses PCR ${pcr} and says why`, () => {
      const [found = ''] = mistakes(`${GOOD}pcr: ${pcr}\n`)
      assert.match(found, new RegExp(`^agent.yaml:5:1: PCR ${pcr} cannot hold the launch log`))
      assert.match(found, why)
    })
  }

  it('gives settings or AgentConfigError for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
        try {
          parseAgentConfig(text, 'f')
        } catch (err) {
          assert.ok(err instanceof AgentConfigError, String(err))
        }
      }),
      { numRuns: fuzzRuns(500) },
    )
  })
})
