import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { codeOf } from '../../../attestation/base/index.ts'
import { fetchImage, type ImageStore, openImageStore } from '../../../stage1/image/index.ts'
import { cannotRender, writeOciLayout } from '../../support/images.ts'
import { copiedVectors, externalVectors, type VectorSet } from '../../support/vectors.ts'

type Verdict = 'accept' | 'reject' | 'contain' | 'policy' | 'either'
interface Case {
  readonly id: string
  readonly verdict: Verdict
  readonly content: string
  readonly files: readonly string[]
}

/** What is decided where the cases leave it open (stage1/image/README.md): an error code, or 'ok'. */
const DECIDED: Readonly<Record<string, string>> = {
  'h10-size': 'IMAGE_LAYER_BAD',
  'n06-deep-3000': 'IMAGE_TOO_LARGE',
  's02-sparse-small': 'IMAGE_UNSUPPORTED',
  'f11-single-zero-block': 'IMAGE_LAYER_BAD',
  'c11-future-version': 'IMAGE_MANIFEST_BAD',
  'x02-user': 'IMAGE_TOO_LARGE',
  'm17-300-layers': 'ok',
}

const VERBS: Readonly<Record<Verdict, string>> = {
  accept: 'accepts',
  reject: 'rejects',
  contain: 'contains',
  policy: 'decides on',
  either: 'decides on',
}

/** The directory that hostile images of the set aim at. */
const OUTSIDE = '/tmp/fixtures-outside'

describe('image cases', () => {
  const vectors = externalVectors('images') ?? copiedVectors('images')
  let work: string
  let store: ImageStore

  before(function () {
    const reason = cannotRender() ?? (fs.existsSync(OUTSIDE) ? `${OUTSIDE} exists already` : undefined)
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
  })

  beforeEach(() => {
    work = fs.mkdtempSync(join(tmpdir(), 'holdfast-cases-'))
    store = openImageStore(join(work, 'store'))
    fs.mkdirSync(OUTSIDE)
    fs.writeFileSync(join(OUTSIDE, 'victim'), 'v')
    fs.writeFileSync(join(OUTSIDE, 'target'), 't')
  })

  afterEach(() => {
    fs.rmSync(OUTSIDE, { recursive: true, force: true })
    fs.rmSync(work, { recursive: true, force: true })
  })

  for (const c of readCases(vectors)) {
    for (const reference of references(c).filter((files) => files.every(vectors.has))) {
      it(`${VERBS[c.verdict]} ${c.id} (${reference.join(', ')}): ${c.content}`, async () => {
        const outcome = await outcomeOf(store, place(vectors, reference, work))
        assertOutsideUntouched()
        assert.deepEqual(fs.readdirSync(join(store.dir, 'tmp')), [], 'nothing is left in tmp')
        if (outcome !== 'ok') {
          for (const part of ['images', 'refs', 'trees']) {
            assert.deepEqual(fs.readdirSync(join(store.dir, part)), [], `a refused image leaves nothing in ${part}`)
          }
        }
        if (c.verdict === 'accept') assert.equal(outcome, 'ok')
        else if (c.verdict === 'reject') assert.notEqual(outcome, 'ok')
        else if (c.verdict !== 'contain' && c.id in DECIDED) assert.equal(outcome, DECIDED[c.id])
      })
    }
  }
})

function readCases(set: VectorSet): Case[] {
  const rows: unknown = JSON.parse(set.text('cases.json'))
  assert.ok(Array.isArray(rows))
  return rows.map(([id, verdict, content, , files]) => ({ id, verdict, content, files }))
}

/** Each .oci and .aci by itself, the raw layers of a case together. */
function references(c: Case): string[][] {
  const layers = c.files.filter((f) => f.startsWith('layers/')).sort()
  const others = c.files.filter((f) => !f.startsWith('layers/')).map((f) => [f])
  return layers.length > 0 ? [layers, ...others] : others
}

/** Copies what a case consists of to where it can be fetched, and gives the reference. */
function place(set: VectorSet, files: readonly string[], work: string): string {
  const [first = ''] = files
  if (first.endsWith('.aci')) {
    fs.writeFileSync(join(work, 'case.aci'), set.read(first))
    return join(work, 'case.aci')
  }
  const layout = join(work, 'layout')
  fs.mkdirSync(layout)
  if (first.endsWith('.oci')) {
    execFileSync('tar', ['-x', '-C', layout], { input: set.read(first) })
    return `oci:${layout}:v1`
  }
  writeOciLayout(layout, { ref: 'v1', layers: files.map((f) => ({ tar: set.read(f), compression: 'none' })) })
  return `oci:${layout}:v1`
}

async function outcomeOf(store: ImageStore, reference: string): Promise<string> {
  try {
    await fetchImage(store, reference, { cwd: '/' })
    return 'ok'
  } catch (err) {
    if (process.env['HOLDFAST_SHOW_ERRORS']) console.log(`        ${err}`)
    const code = codeOf(err) ?? ''
    assert.match(code, /^IMAGE_/, `a refusal has a code: ${err}`)
    return code
  }
}

function assertOutsideUntouched(): void {
  assert.deepEqual(fs.readdirSync(OUTSIDE).sort(), ['target', 'victim'])
  for (const [name, text] of [
    ['victim', 'v'],
    ['target', 't'],
  ] as const) {
    const stat = fs.lstatSync(join(OUTSIDE, name))
    assert.ok(stat.isFile() && stat.nlink === 1)
    assert.equal(fs.readFileSync(join(OUTSIDE, name), 'utf8'), text)
  }
}
