import assert from 'node:assert/strict'
import { parseReference } from '../../../stage1/image/index.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`

describe('image references', () => {
  const full = [
    ['docker://Localhost:5000/busybox', 'docker://localhost:5000/busybox:latest'],
    ['docker://h/a/b_c/d-e.f:v1.2-x_Y', 'docker://h/a/b_c/d-e.f:v1.2-x_Y'],
    [`docker://h/a@${DIGEST}`, `docker://h/a@${DIGEST}`],
    [`docker://h/a:1@${DIGEST}`, `docker://h/a:1@${DIGEST}`],
    ['docker://[::1]:5000/a:1', 'docker://[::1]:5000/a:1'],
    ['oci:/srv/a', 'oci:/srv/a'],
    ['oci:/srv/a:v1', 'oci:/srv/a:v1'],
    ['oci:a:v1', 'oci:/cwd/a:v1'],
    ['/srv/a', 'oci:/srv/a'],
    ['./a', 'oci:/cwd/a'],
    ['/srv/../x/a.aci', '/x/a.aci'],
    ['busybox:1', 'busybox:1'],
    ['https://H:8443/a/b.aci', 'https://h:8443/a/b.aci'],
    ['oci-archive:a.tar:v1', 'oci-archive:/cwd/a.tar:v1'],
    ['docker-archive:/a.tar:host/a/b:1', 'docker-archive:/a.tar:host/a/b:1'],
    ['./a.tar', '/cwd/a.tar'],
    ['/srv/a.tar.zst', '/srv/a.tar.zst'],
  ] as const
  for (const [text, name] of full) {
    it(`take ${text} for ${name}`, () => assert.equal(parseReference(text, '/cwd').name, name))
  }

  it('say which part is what', () => {
    assert.deepEqual(parseReference(`docker://h:1/a/b:t@${DIGEST}`, '/'), {
      kind: 'registry',
      name: `docker://h:1/a/b:t@${DIGEST}`,
      registry: 'h:1',
      repository: 'a/b',
      tag: 't',
      digest: DIGEST,
    })
  })

  const refused = [
    '',
    ' ',
    'a b',
    'a\nb',
    'docker://',
    'docker://h',
    'docker://h/',
    'docker:///a',
    'docker://h/A',
    'docker://h/../v2',
    'docker://h/a:',
    'docker://h/a:-x',
    'docker://h/a@sha256:abc',
    `docker://h/a@${DIGEST}@${DIGEST}`,
    'docker://u:p@h/a',
    'docker://h:99999/a',
    'docker://h/a?x=1',
    'docker://h/a#x',
    'docker://h%2fx/a',
    'ftp://h/a',
    'https://u:p@h/a.aci',
    'https://h/a.aci?token=x',
    'https://h/a.aci#x',
    'https://',
    'oci-archive:',
    'docker-archive::x',
    'docker-archive:/a.tar:',
    'oci:',
    'oci:/a:',
    'a'.repeat(2000),
    `docker://h/a@md5:${'a'.repeat(32)}`,
  ]
  for (const text of refused) {
    it(`refuse ${JSON.stringify(text.slice(0, 40))}`, () => {
      assert.throws(() => parseReference(text, '/cwd'), { code: 'IMAGE_REFERENCE_BAD' })
    })
  }
})
