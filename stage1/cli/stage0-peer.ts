import fs from 'node:fs'

/** Namespaces that decide what a path means, what root may, and which network a pod is connected to. */
const NAMESPACES = ['cgroup', 'mnt', 'net', 'user'] as const

/**
 * What a process sees and may, as one text. The server carries out only what the asking process could have done itself,
 * and what means the same to both: the texts must be equal, or that process is to start cold.
 *
 * @param pid a process, or `self`
 * @returns undefined when the process is gone or cannot be looked at
 */
export function viewOf(pid: number | 'self'): string | undefined {
  const proc = `/proc/${pid}`
  try {
    const root = fs.statSync(`${proc}/root/.`)
    const status = fs.readFileSync(`${proc}/status`, 'latin1')
    return [
      ...NAMESPACES.map((name) => fs.readlinkSync(`${proc}/ns/${name}`)),
      `root:[${root.dev}:${root.ino}]`,
      ...status.split('\n').filter((line) => /^(Uid|Gid|CapEff):/.test(line)),
    ].join(' ')
  } catch {
    return undefined
  }
}
