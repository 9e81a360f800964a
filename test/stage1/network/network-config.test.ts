import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { utf8 } from '../../../attestation/base/index.ts'
import { NetworkError, parseNetworkConfig, readConfiguredNetworks } from '../../../stage1/network/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { tempDir } from '../../support/temp-dir.ts'

const LIST = {
  cniVersion: '1.0.0',
  name: 'lan',
  plugins: [
    { type: 'bridge', ipam: { type: 'host-local', subnet: '10.1.0.0/16' }, mtu: 1400 },
    { type: 'portmap', capabilities: { portMappings: true, bandwidth: false } },
  ],
}
const parse = (value: unknown) => parseNetworkConfig(utf8(JSON.stringify(value)), '/etc/lan.conflist')

describe('stage1/network configurations', () => {
  it('keep what only the plugin knows', () => {
    const { name, cniVersion, plugins } = parse(LIST)
    assert.deepEqual([name, cniVersion], ['lan', '1.0.0'])
    assert.deepEqual(plugins[0], { type: 'bridge', ipam: 'host-local', capabilities: [], object: LIST.plugins[0] })
    assert.deepEqual(plugins[1]?.capabilities, ['portMappings'])
  })

  it('may be of one plugin alone', () => {
    const { name, plugins } = parse({ cniVersion: '0.3.1', name: 'one', type: 'macvlan', master: 'eth0' })
    assert.equal(name, 'one')
    assert.deepEqual(
      plugins.map((p) => p.type),
      ['macvlan'],
    )
  })

  const [bridge] = LIST.plugins
  const refused: readonly { name: string; value: unknown; says: RegExp }[] = [
    {
      name: 'a version that is not spoken',
      value: { ...LIST, cniVersion: '0.2.0' },
      says: /\$\.cniVersion: must be one of/,
    },
    { name: 'no version', value: { ...LIST, cniVersion: undefined }, says: /\$\.cniVersion/ },
    { name: 'a name that is a path', value: { ...LIST, name: '../lan' }, says: /\$\.name/ },
    {
      name: 'a name that --net means otherwise',
      value: { ...LIST, name: 'host' },
      says: /\$\.name: 'host' means something else/,
    },
    { name: 'no plugin', value: { ...LIST, plugins: [] }, says: /\$\.plugins: names no plugin/ },
    {
      name: 'a plugin that is a path',
      value: { ...LIST, plugins: [{ type: '/bin/sh' }] },
      says: /\$\.plugins\[0\]\.type/,
    },
    {
      name: 'a helper that is a path',
      value: { ...LIST, plugins: [{ ...bridge, ipam: { type: '../sh' } }] },
      says: /\$\.plugins\[0\]\.ipam\.type/,
    },
    {
      name: 'a capability that is neither on nor off',
      value: { ...LIST, plugins: [{ type: 'portmap', capabilities: { portMappings: 'yes' } }] },
      says: /\$\.plugins\[0\]\.capabilities\.portMappings/,
    },
    { name: 'seventeen plugins', value: { ...LIST, plugins: Array(17).fill(bridge) }, says: /17 elements, at most 16/ },
    { name: 'a list', value: [LIST], says: /expected an object, got a list/ },
  ]
  for (const { name, value, says } of refused) {
    it(`with ${name} are refused with file and member`, () => {
      assert.throws(
        () => parse(value),
        (err) =>
          err instanceof NetworkError &&
          err.code === 'NETWORK_CONFIG_BAD' &&
          err.message.startsWith('/etc/lan.conflist') &&
          says.test(err.message),
      )
    })
  }

  it('nested too deeply are refused, and so are those longer than 256 KiB', () => {
    const deep = utf8(`{"cniVersion":"1.0.0","name":"x","type":"y","z":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)
    assert.throws(() => parseNetworkConfig(deep, 'f'), { code: 'NETWORK_CONFIG_BAD' })
    assert.throws(() => parseNetworkConfig(new Uint8Array(300_000), 'f'), { code: 'NETWORK_CONFIG_BAD' })
  })

  it('are a value or a NetworkError, whatever the bytes', () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map(utf8),
      fc.jsonValue().map((v) => utf8(JSON.stringify({ ...LIST, plugins: [v, v] }))),
    )
    fc.assert(
      fc.property(anything, (bytes) => {
        try {
          parseNetworkConfig(bytes, 'f')
        } catch (err) {
          assert.ok(err instanceof NetworkError, String(err))
        }
      }),
      { numRuns: fuzzRuns(300) },
    )
  })
})

describe('stage1/network directories of configurations', () => {
  const { path: dir, remove } = tempDir()
  after(remove)
  const write = (at: string, name: string, config: object, mode = 0o644): string => {
    fs.mkdirSync(path.join(dir, at), { recursive: true })
    const file = path.join(dir, at, name)
    fs.writeFileSync(file, JSON.stringify(config))
    fs.chmodSync(file, mode)
    return file
  }
  const read = (...dirs: string[]) => readConfiguredNetworks(dirs.map((d) => path.join(dir, d)))

  before(function () {
    if (process.geteuid?.() !== 0) this.skip() // files must be root's
  })

  it('are read in the order of names, and an earlier directory hides networks of a later one', () => {
    const own = write('etc', '20-lan.conflist', LIST)
    write('etc', '10-one.conf', { cniVersion: '0.4.0', name: 'one', type: 'macvlan' })
    write('etc', 'notes.txt', {})
    write('usr', '00-lan.conflist', { ...LIST, plugins: [bridge()] })
    write('usr', '01-more.conf', { cniVersion: '0.4.0', name: 'more', type: 'macvlan' })
    const networks = read('etc', 'usr', 'absent')
    assert.deepEqual([...networks.keys()], ['one', 'lan', 'more'])
    assert.equal(networks.get('lan')?.file, own)
    assert.equal(networks.get('lan')?.config.plugins.length, 2)
  })

  it('with one name twice are refused, and files that others may write to, and files that are none', () => {
    write('twice', 'a.conf', { cniVersion: '0.4.0', name: 'x', type: 'macvlan' })
    write('twice', 'b.conf', { cniVersion: '0.4.0', name: 'x', type: 'macvlan' })
    assert.throws(() => read('twice'), { code: 'NETWORK_CONFIG_TWICE' })
    write('open', 'a.conf', { cniVersion: '0.4.0', name: 'x', type: 'macvlan' }, 0o664)
    assert.throws(() => read('open'), { code: 'NETWORK_CONFIG_UNSAFE' })
    fs.mkdirSync(path.join(dir, 'odd/a.conf'), { recursive: true })
    assert.throws(() => read('odd'), { code: 'NETWORK_CONFIG_UNREADABLE' })
  })

  it('are refused whole for one file that cannot be used: it may be meant to hide another', () => {
    write('broken', 'a.conf', { name: 'x' })
    assert.throws(() => read('broken'), { code: 'NETWORK_CONFIG_BAD', message: /broken\/a\.conf.*\$\.cniVersion/ })
  })

  it('that came with Holdfast are in order', () => {
    const networks = readConfiguredNetworks([path.join(import.meta.dirname, '../../../config/net.d')])
    assert.deepEqual([...networks.keys()].sort(), ['default', 'default-restricted'])
  })
})

function bridge(): object {
  return { type: 'bridge' }
}
