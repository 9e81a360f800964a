import assert from 'node:assert/strict'
import { serialNumber, setupArguments, setupFiles, tpmArguments } from '../../../../stage1/flavours/kvm/index.ts'

describe('the TPM of a pod', () => {
  it('has an even serial number of 62 bits: swtpm_cert takes no more than 64, and each TPM has the next one, too', () => {
    assert.equal(serialNumber(new Uint8Array(8).fill(0xff)), String(2n ** 62n - 2n))
    assert.equal(serialNumber(Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 2)), '258')
  })

  it('is set up by the programs of one directory, with what is of this pod alone and a CA that is not', () => {
    const files = setupFiles('/run/x', '/var/ca.pem', '7')
    assert.deepEqual([...files.keys()], ['certserial', 'localca.options', 'localca.conf', 'setup.conf'])
    assert.equal(files.get('certserial'), '7')
    assert.match(files.get('localca.conf') ?? '', /^signingkey = \/var\/ca\.pem\nissuercert = \/var\/ca\.pem$/m)
    assert.match(files.get('setup.conf') ?? '', /^create_certs_tool = \/run\/x\/swtpm_localca$/m)
    const words = setupArguments('/run/x', 'uuid').join(' ')
    for (const wanted of ['--tpm /run/x/swtpm socket', '--pcr-banks sha256', '--create-ek-cert', '--lock-nvram']) {
      assert.ok(words.includes(wanted), wanted)
    }
  })

  it('is served behind a filter of system calls, by its descriptor, and from a state that is its own', () => {
    assert.deepEqual(tpmArguments('/usr/bin/swtpm'), [
      ...['/usr/bin/swtpm', 'socket', '--tpm2', '--tpmstate', 'dir=/state,mode=0600'],
      ...['--ctrl', 'type=unixio,clientfd=4', '--seccomp', 'action=kill'],
    ])
  })
})
