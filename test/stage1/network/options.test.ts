import assert from 'node:assert/strict'
import fc from 'fast-check'
import { UsageError } from '../../../attestation/base/index.ts'
import {
  type AppPort,
  mapPorts,
  type NameFacts,
  type NameOptions,
  nameFiles,
  parseNameOptions,
  parseNetworkChoice,
  parsePortWishes,
} from '../../../stage1/network/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

describe('--net', () => {
  it('is none unless given, and none, host and all stand alone', () => {
    assert.deepEqual(parseNetworkChoice([]), { kind: 'none' })
    for (const kind of ['none', 'host', 'all'] as const) {
      assert.deepEqual(parseNetworkChoice([kind]), { kind })
      assert.throws(() => parseNetworkChoice([kind, 'default']), UsageError)
      assert.throws(() => parseNetworkChoice(['default', kind]), UsageError)
    }
  })

  it('names networks in their order, with arguments', () => {
    assert.deepEqual(parseNetworkChoice(['lan:IP=10.1.0.9;GATEWAY=10.1.0.1,default', 'b']), {
      kind: 'named',
      networks: [
        { name: 'lan', args: ['IP=10.1.0.9', 'GATEWAY=10.1.0.1'] },
        { name: 'default', args: [] },
        { name: 'b', args: [] },
      ],
    })
  })

  for (const text of ['', ',', 'a,', 'a,a', '../a', 'a:', 'a:IP', 'a:IP=1;', 'a:=1', 'a:I P=1', 'a:IP=1 2', 'a\nb']) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseNetworkChoice([text]), UsageError))
  }

  it('is a choice or a UsageError, whatever the text', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (values) => {
        try {
          parseNetworkChoice(values)
        } catch (err) {
          assert.ok(err instanceof UsageError)
        }
      }),
      { numRuns: fuzzRuns(200) },
    )
  })
})

describe('--port', () => {
  const web: AppPort = { name: 'web', protocol: 'tcp', port: 80 }
  const dns: AppPort = { name: 'dns', protocol: 'udp', port: 53 }
  const map = (texts: string[], ports: AppPort[] = [web, dns]) => mapPorts(parsePortWishes(texts), ports)

  it('finds the port of an image by its name, or takes the name at its word', () => {
    assert.deepEqual(map(['web:8080', 'dns:127.0.0.1:53', '443-tcp:[::1]:8443']), [
      { name: 'web', protocol: 'tcp', podPort: 80, hostPort: 8080 },
      { name: 'dns', protocol: 'udp', podPort: 53, hostPort: 53, hostIp: '127.0.0.1' },
      { name: '443-tcp', protocol: 'tcp', podPort: 443, hostPort: 8443, hostIp: '::1' },
    ])
  })

  for (const text of [
    '',
    'web',
    'web:',
    'web:0',
    'web:65536',
    'web:1.2.3:80',
    'web:::1:80',
    ':80',
    'WEB:80',
    'web:80/tcp',
    'web:-1',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parsePortWishes([text]), UsageError))
  }

  it('refuses names that the pod has not, that mean two ports, and protocols that cannot be forwarded', () => {
    assert.throws(() => map(['ssh:22']), /no port of that name; it has web, dns/)
    assert.throws(() => map(['70000-tcp:80']), UsageError)
    assert.throws(() => map(['web:80'], [web, { ...web, port: 81 }]), /several ports of that name/)
    assert.throws(() => map(['s:80'], [{ name: 's', protocol: 'sctp', port: 1 }]), /only tcp and udp/)
    assert.deepEqual(map(['web:80'], [web, web]).length, 1)
  })

  it('refuses one port of the host twice, unless the addresses or protocols differ', () => {
    assert.throws(() => map(['web:80', '81-tcp:80']), /asked for twice/)
    assert.throws(() => map(['web:127.0.0.1:80', '81-tcp:0.0.0.0:80']), /asked for twice/)
    assert.equal(map(['web:127.0.0.1:80', '81-tcp:127.0.0.2:80', '81-udp:80']).length, 3)
  })
})

describe('names of hosts', () => {
  const none: NameOptions = { dns: [], search: [], options: [], hosts: [] }
  const facts: NameFacts = {
    hostname: 'web-1',
    addresses: ['172.16.28.2'],
    network: { nameservers: ['10.0.0.1'], search: ['lan'], options: [] },
    hostResolvConf: () => 'nameserver 9.9.9.9\n',
    hostHosts: () => '127.0.0.1 the-host\n',
    sharesHostNetwork: false,
  }
  const files = (o: Partial<NameOptions>, f: Partial<NameFacts> = {}) =>
    nameFiles(parseNameOptions({ ...none, ...o }), { ...facts, ...f })

  it('come from the network unless said otherwise, and the pod knows its own', () => {
    const { resolvConf, hosts } = files({})
    assert.equal(resolvConf, 'search lan\nnameserver 10.0.0.1\n')
    assert.equal(hosts, '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n172.16.28.2 web-1\n')
  })

  it('are what the options say, and of the rest what the network says', () => {
    const o = { dns: ['1.1.1.1', '::1'], options: ['ndots:2'], domain: 'x.test' }
    assert.equal(
      files(o).resolvConf,
      'domain x.test\nsearch lan\nnameserver 1.1.1.1\nnameserver ::1\noptions ndots:2\n',
    )
    assert.match(files({ search: ['y.test'] }).resolvConf, /^search y\.test\nnameserver 10\.0\.0\.1\n$/)
  })

  it('are the host’s where they are wanted or its network is shared, and the image’s for none', () => {
    assert.equal(files({ dns: ['host'] }).resolvConf, 'nameserver 9.9.9.9\n')
    assert.equal(files({}, { sharesHostNetwork: true }).resolvConf, 'nameserver 9.9.9.9\n')
    assert.equal(files({ dns: ['none'] }, { sharesHostNetwork: true }).resolvConf, '')
    assert.equal(files({ hosts: ['host'] }).hosts, '127.0.0.1 the-host\n')
  })

  it('leave the image’s files where there is nothing to say', () => {
    const without = { addresses: [], network: { nameservers: [], search: [], options: [] } }
    assert.deepEqual(files({}, without), { resolvConf: '', hosts: '' })
    assert.match(files({ hosts: ['10.0.0.9=db,10.0.0.9=db.lan'] }, without).hosts, /^10\.0\.0\.9 db db\.lan$/m)
  })

  const refused: readonly Partial<NameOptions>[] = [
    { dns: ['host', '1.1.1.1'] },
    { dns: ['none'], search: ['x'] },
    { dns: ['1.1.1'] },
    { dns: ['1.1.1.1\nnameserver 6.6.6.6'] },
    { search: ['x\ny'] },
    { options: ['ndots: 2'] },
    { domain: '' },
    { hosts: ['db=10.0.0.9'] },
    { hosts: ['10.0.0.9'] },
    { hosts: ['10.0.0.9=a b'] },
    { hosts: ['host', '10.0.0.9=a'] },
  ]
  for (const o of refused) {
    it(`refuses ${JSON.stringify(o)}`, () => assert.throws(() => files(o), UsageError))
  }
})
