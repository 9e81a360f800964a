import assert from 'node:assert/strict'
import fc from 'fast-check'
import { utf8 } from '../../../attestation/base/index.ts'
import {
  type Attachment,
  NetworkError,
  neededPlugins,
  parseNetworkConfig,
  parsePluginResult,
  pluginEnvironment,
  pluginFailure,
  pluginInput,
} from '../../../stage1/network/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const config = parseNetworkConfig(
  utf8(
    JSON.stringify({
      cniVersion: '0.4.0',
      name: 'lan',
      plugins: [
        { type: 'bridge', mtu: 1400, name: 'another', prevResult: { forged: true } },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    }),
  ),
  'lan.conflist',
)
const [bridge, portmap] = config.plugins
assert.ok(bridge && portmap)
const port = { name: 'web', protocol: 'tcp', podPort: 80, hostPort: 8080, hostIp: '127.0.0.1' } as const

describe('stage1/network calls of plugins', () => {
  it('give each its own part with version, name and what came before', () => {
    assert.deepEqual(JSON.parse(pluginInput(config, bridge, [])), {
      type: 'bridge',
      mtu: 1400,
      cniVersion: '0.4.0',
      name: 'lan',
    })
    assert.deepEqual(JSON.parse(pluginInput(config, portmap, [port], { ips: [] })), {
      type: 'portmap',
      cniVersion: '0.4.0',
      name: 'lan',
      runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '127.0.0.1' }] },
      prevResult: { ips: [] },
    })
    assert.equal('runtimeConfig' in JSON.parse(pluginInput(config, bridge, [port])), false)
  })

  it('leave portmap out where it would forward nothing', () => {
    assert.deepEqual(
      neededPlugins(config, []).map((p) => p.type),
      ['bridge'],
    )
    assert.deepEqual(
      neededPlugins(config, [port]).map((p) => p.type),
      ['bridge', 'portmap'],
    )
  })

  it('have an environment of their own', () => {
    const a: Attachment = {
      podUuid: 'u',
      namespace: '/run/n',
      interfaceName: 'eth0',
      pluginDirs: ['/a', '/b'],
      args: ['IP=10.1.0.9', 'K=V'],
    }
    const [path, ...rest] = pluginEnvironment('ADD', a)
    assert.match(path ?? '', /^PATH=.*\/usr\/sbin/)
    assert.deepEqual(rest, [
      'CNI_COMMAND=ADD',
      'CNI_CONTAINERID=u',
      'CNI_NETNS=/run/n',
      'CNI_IFNAME=eth0',
      'CNI_PATH=/a:/b',
      'CNI_ARGS=IP=10.1.0.9;K=V',
    ])
    assert.equal(
      pluginEnvironment('DEL', { ...a, args: [] }).some((v) => v.startsWith('CNI_ARGS')),
      false,
    )
  })
})

describe('stage1/network results of plugins', () => {
  const result = {
    cniVersion: '0.4.0',
    interfaces: [{ name: 'cni0' }, { name: 'eth0', sandbox: '/run/n' }],
    ips: [
      { version: '4', address: '10.1.0.1/16', interface: 0 },
      { version: '4', address: '10.1.0.9/16', interface: 1 },
      { version: '6', address: 'fd00::9/64' },
    ],
    dns: { nameservers: ['10.1.0.1'], search: ['lan'], domain: '' },
  }
  const parse = (value: unknown) => parsePluginResult(utf8(JSON.stringify(value)), '0.4.0', 'plugin p of network n')

  it('give the addresses of the pod, not those of the host, and names', () => {
    const { addresses, dns, object } = parse(result)
    assert.deepEqual(addresses, ['10.1.0.9/16', 'fd00::9/64'])
    assert.deepEqual(dns, { nameservers: ['10.1.0.1'], search: ['lan'], options: [] })
    assert.deepEqual(object, result)
  })

  it('may say nothing', () => assert.deepEqual(parse({ cniVersion: '0.4.0' }).addresses, []))

  const refused: readonly { name: string; value: unknown; says: RegExp }[] = [
    { name: 'another version', value: { ...result, cniVersion: '1.0.0' }, says: /\$\.cniVersion/ },
    {
      name: 'an address without prefix',
      value: { ...result, ips: [{ address: '10.1.0.9' }] },
      says: /\$\.ips\[0\]\.address/,
    },
    {
      name: 'a name server that is two lines',
      value: { ...result, dns: { nameservers: ['1.1.1.1\nx'] } },
      says: /nameservers\[0\]/,
    },
    { name: 'a text', value: 'ok', says: /expected an object/ },
  ]
  for (const { name, value, says } of refused) {
    it(`are refused with ${name}`, () => {
      assert.throws(
        () => parse(value),
        (err) => err instanceof NetworkError && err.code === 'NETWORK_RESULT_BAD' && says.test(err.message),
      )
    })
  }

  it('are a value or a NetworkError, whatever the bytes', () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.jsonValue().map((v) => utf8(JSON.stringify({ ...result, ips: v, dns: v }))),
    )
    fc.assert(
      fc.property(anything, (bytes) => {
        try {
          parsePluginResult(bytes, '0.4.0', 'p')
        } catch (err) {
          assert.ok(err instanceof NetworkError, String(err))
        }
        pluginFailure(bytes, bytes)
      }),
      { numRuns: fuzzRuns(300) },
    )
  })

  it('of a failure are its code and words, or what else was said, fit for a terminal', () => {
    const none = new Uint8Array(0)
    const error = utf8('{"code":11,"msg":"no \\u001b[2J addresses","details":"in range"}')
    assert.deepEqual(pluginFailure(error, none), { code: 11, said: 'no \\x1b[2J addresses; in range' })
    assert.deepEqual(pluginFailure(none, utf8('panic: x\n')), { said: 'panic: x' })
    assert.deepEqual(pluginFailure(none, none), { said: 'it said nothing' })
  })
})
