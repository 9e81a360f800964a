import { createHash } from 'node:crypto'
import { readdir, readFile, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/**
 * Digest of the program as installed, for the `agent` record: SHA-256 over one line `<sha256>  <name>` for each script (.js, .mjs,
 * .cjs) beside the entry, the entry included, sorted by name as the C locale does.
 *
 * @param entry path of the script that Node was started with
 * @returns 64 lowercase hex digits
 */
export async function programDigest(entry: string): Promise<string> {
  const file = await realpath(entry)
  const directory = dirname(file)
  const names = (await readdir(directory)).filter((name) => /\.[cm]?js$/.test(name))
  const whole = createHash('sha256')
  for (const name of names.sort((a, b) => (a < b ? -1 : 1))) {
    const sha256 = createHash('sha256')
      .update(await readFile(join(directory, name)))
      .digest('hex')
    whole.update(`${sha256}  ${name}\n`)
  }
  return whole.digest('hex')
}
