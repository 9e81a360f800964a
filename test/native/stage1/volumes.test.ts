import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { acName, type Volume } from '../../../stage1/manifest/index.ts'
import { podsImpossible } from '../../support/pods.ts'
import { podManifest, Stage1Pods, shellApp } from '../../support/stage1-pods.ts'

describe('volumes of holdfast-stage1', () => {
  let pods: Stage1Pods
  let host = ''

  before(function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = new Stage1Pods((root) => {
      fs.mkdirSync(path.join(root, 'outside'))
      fs.symlinkSync('../../../../../../outside', path.join(root, 'climbing'))
      fs.symlinkSync('/proc/1/root/tmp', path.join(root, 'through-proc'))
      fs.symlinkSync('/proc/sys', path.join(root, 'kernel'))
      fs.symlinkSync('/', path.join(root, 'top'))
    })
    host = path.join(pods.work, 'host')
    fs.mkdirSync(path.join(host, 'below'), { recursive: true })
    fs.writeFileSync(path.join(host, 'file'), 'from the host\n')
    fs.symlinkSync(host, path.join(pods.work, 'link'))
  })
  after(async () => {
    await pods?.stop()
  })

  const data = acName('data')
  const at = (place: string, readOnly = false) => ({ mountPoints: [{ name: data, path: place, readOnly }] })
  const hostVolume = (source: string, readOnly = false): Volume => ({ name: data, kind: 'host', source, readOnly })

  it('shares an empty volume between apps, with owner and mode', async () => {
    const pod = await pods.run(
      podManifest(
        [
          shellApp('writer', 'stat -c "%u:%g %a" /a; echo shared > /a/file', at('/a')),
          shellApp('reader', 'until [ -s /b/c/file ]; do sleep 0.05; done; cat /b/c/file', at('/b/c')),
        ],
        { volumes: [{ name: data, kind: 'empty', mode: '1770', uid: 7, gid: 8 }] },
      ),
    )
    assert.deepEqual([pod.status, pod.stdout], [0, '7:8 1770\nshared\n'], pod.stderr)
    assert.equal(fs.readFileSync(path.join(pod.path, 'volumes/data/file'), 'utf8'), 'shared\n')
  })

  it('gives a mount point without a volume an empty one of its own', async () => {
    const pod = await pods.run(
      podManifest([shellApp('app', 'echo x > /here/file; grep " /here " /proc/mounts', at('/here'))]),
    )
    assert.equal(pod.status, 0)
    assert.match(pod.stdout, /\bnosuid,nodev\b/)
  })

  it('mounts a directory and a file of the host, writable or not', async () => {
    const write = 'cat /v/file; echo new > /v/made; echo $?'
    const writable = await pods.run(podManifest([shellApp('app', write, at('/v'))], { volumes: [hostVolume(host)] }))
    assert.equal(writable.stdout, 'from the host\n0\n')
    assert.ok(fs.existsSync(path.join(host, 'made')))
    for (const [volumeReadOnly, pointReadOnly] of [
      [true, false],
      [false, true],
    ]) {
      const pod = await pods.run(
        podManifest([shellApp('app', write, at('/v', pointReadOnly))], { volumes: [hostVolume(host, volumeReadOnly)] }),
      )
      assert.equal(pod.stdout, 'from the host\n1\n')
    }
    const file = await pods.run(
      podManifest([shellApp('app', 'cat /etc/new/name', at('/etc/new/name'))], {
        volumes: [hostVolume(path.join(host, 'file'))],
      }),
    )
    assert.equal(file.stdout, 'from the host\n', file.stderr)
  })

  it('brings what is mounted below a host directory only where it is recursive', async () => {
    for (const recursive of [true, false]) {
      const pod = await pods.run(
        podManifest([shellApp('app', 'ls /v/proc | grep -c cpuinfo', at('/v'))], {
          volumes: [{ name: data, kind: 'host', source: '/', readOnly: true, recursive }],
        }),
      )
      assert.equal(pod.stdout, recursive ? '1\n' : '0\n', pod.stderr)
    }
  })

  it('refuses a link in the path of a host volume, and devices', async () => {
    for (const [source, message] of [
      [path.join(pods.work, 'link'), /there is a symbolic link/],
      [path.join(pods.work, 'link/below'), /there is a symbolic link/],
      ['/proc/self/root/etc', /there is a symbolic link/],
      ['/dev/null', /no directory, file or socket/],
      [path.join(host, 'absent'), /No such file/],
    ] as const) {
      const pod = await pods.run(podManifest([shellApp('app', 'true', at('/v'))], { volumes: [hostVolume(source)] }))
      assert.equal(pod.status, 254)
      assert.match(pod.stderr, message)
    }
  })

  it('lets no link of the image lead a mount out of its root or onto the kernel’s files', async () => {
    const inside = await pods.run(
      podManifest([shellApp('app', 'cat /outside/file', at('/climbing'))], { volumes: [hostVolume(host)] }),
    )
    assert.notEqual(inside.stdout, '') // the link climbs as far as the app's own root
    for (const [place, message] of [
      ['/through-proc/x', /mount point/],
      ['/kernel', /among the kernel's files/],
      ['/kernel/net', /among the kernel's files|Read-only|No such file/],
      ['/top', /is the app's root/],
    ] as const) {
      const pod = await pods.run(podManifest([shellApp('app', 'true', at(place))], { volumes: [hostVolume(host)] }))
      assert.equal(pod.status, 125, place)
      assert.match(pod.stderr, message)
    }
  })

  it('makes a root read-only but for its volumes, and has the working directory made before', async () => {
    const pod = await pods.run(
      podManifest([
        shellApp('app', 'pwd; echo x > /new || echo x > /data/new && cat /data/new', {
          ...at('/data'),
          readOnlyRootFS: true,
          workingDirectory: '/made/here',
        }),
      ]),
    )
    assert.deepEqual([pod.status, pod.stdout], [0, '/made/here\nx\n'])
    assert.match(pod.stderr, /Read-only file system/)
  })
})
