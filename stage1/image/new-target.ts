import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'

/**
 * Makes a file or directory whole or not at all: it is made beside its place and renamed there.
 *
 * @param target absolute
 * @param overwrite whether what is there may be replaced
 * @param make makes it at the path it is given, where nothing is
 * @throws ImageError IMAGE_TARGET_EXISTS, IMAGE_NO_SPACE, IMAGE_STORE_FAILED, or what `make` throws
 */
export async function makeTarget(
  target: string,
  overwrite: boolean,
  make: (temporary: string) => Promise<void>,
): Promise<void> {
  const refuse = (): void => {
    if (!overwrite && fs.lstatSync(target, { throwIfNoEntry: false }) !== undefined) {
      throw new ImageError('IMAGE_TARGET_EXISTS', `${target} is there already; --overwrite replaces it`)
    }
  }
  const temporary = path.join(path.dirname(target), `.${path.basename(target)}.${randomBytes(6).toString('hex')}`)
  const old = `${temporary}.old`
  try {
    refuse() // before the work, and once more after it
    await make(temporary)
    refuse()
    if (fs.lstatSync(target, { throwIfNoEntry: false }) !== undefined) fs.renameSync(target, old)
    fs.renameSync(temporary, target)
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    const code = codeOf(cause) === 'ENOSPC' || codeOf(cause) === 'EDQUOT' ? 'IMAGE_NO_SPACE' : 'IMAGE_STORE_FAILED'
    throw new ImageError(code, `cannot write ${target}: ${messageOf(cause)}`, { cause })
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true })
    fs.rmSync(old, { recursive: true, force: true })
  }
}
