import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'

/**
 * Removes a directory with everything that an app may have left in it to resist: deeper than a path can be long or a
 * stack can go, with names that are no text. Directories are moved to the top before they are emptied, so each path is
 * short. No link is followed.
 *
 * @param directory where nobody else works any more
 * @throws what the file system throws; called again it goes on where it ended
 */
export function removeTree(directory: string): void {
  const mark = randomBytes(8).toString('hex') // what an interrupted removal has moved is not in the way
  const waiting: string[] = []
  let moved = 0
  const empty = (at: string): void => {
    for (const entry of fs.readdirSync(at, { withFileTypes: true, encoding: 'buffer' })) {
      const child = Buffer.concat([Buffer.from(`${at}/`), entry.name])
      if (entry.isDirectory()) {
        const top = path.join(directory, `${mark}.${moved++}`)
        fs.renameSync(child, top)
        waiting.push(top)
      } else fs.unlinkSync(child)
    }
  }
  empty(directory)
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    empty(at)
    fs.rmdirSync(at)
  }
  fs.rmdirSync(directory)
}
