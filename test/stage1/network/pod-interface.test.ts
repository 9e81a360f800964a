import assert from 'node:assert/strict'
import { parsePluginResult, podInterface } from '../../../stage1/network/index.ts'

const RESULT = {
  cniVersion: '1.0.0',
  interfaces: [
    { name: 'cni0', mac: 'aa:aa:aa:aa:aa:aa' },
    { name: 'eth0', mac: '0A:58:0A:00:00:02', sandbox: '/run/netns/x', mtu: 1400 },
  ],
  ips: [
    { interface: 1, address: '10.0.0.2/24', gateway: '10.0.0.1' },
    { interface: 1, address: 'fd00::2/64', gateway: 'fd00::1' },
  ],
  routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }, { dst: '10.9.0.0/16', gw: '10.0.0.9' }],
}
const of = (over: object, name = 'eth0') => {
  const bytes = new TextEncoder().encode(JSON.stringify({ ...RESULT, ...over }))
  return podInterface(parsePluginResult(bytes, '1.0.0', 'a plugin'), name)
}

describe('the interface of a pod, as its plugins made it', () => {
  it('has hardware address, MTU, addresses, and routes with the gateway of their family', () => {
    assert.deepEqual(of({}), {
      name: 'eth0',
      mac: '0a:58:0a:00:00:02',
      mtu: 1400,
      addresses: ['10.0.0.2/24', 'fd00::2/64'],
      routes: [
        { destination: '0.0.0.0/0', gateway: '10.0.0.1' },
        { destination: '::/0', gateway: 'fd00::1' },
        { destination: '10.9.0.0/16', gateway: '10.0.0.9' },
      ],
    })
  })

  it('leads to the link where no address of the family has a gateway', () => {
    const { routes } = of({ ips: [{ interface: 1, address: '10.0.0.2/24' }], routes: [{ dst: '10.1.0.0/16' }] }) ?? {}
    assert.deepEqual(routes, [{ destination: '10.1.0.0/16' }])
  })

  for (const [what, over, name] of [
    ['that no plugin names', {}, 'eth1'],
    ['of the host', {}, 'cni0'],
    ['without a hardware address', { interfaces: [{ name: 'eth0', sandbox: '/x' }] }, 'eth0'],
    ['with what is no hardware address', { interfaces: [{ name: 'eth0', sandbox: '/x', mac: 'a\nb' }] }, 'eth0'],
  ] as const) {
    it(`is none ${what}`, () => assert.equal(of({ ...over, ips: [] }, name), undefined))
  }

  for (const [what, over] of [
    ['a route without a prefix', { routes: [{ dst: '10.0.0.0' }] }],
    ['a gateway that is a name', { routes: [{ dst: '10.0.0.0/8', gw: 'router' }] }],
    ['routes that are no list', { routes: {} }],
  ] as const) {
    it(`is refused with ${what}`, () => assert.throws(() => of(over), { name: 'ManifestError' }))
  }
})
