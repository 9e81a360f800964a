import fs from 'node:fs'

/**
 * The group that a user who is not root needs for the device: udev gives it to one (Debian: `kvm`, 0660) or to all.
 * @returns undefined where every user has it, or no group has
 */
export function kvmGroup(device = '/dev/kvm'): number | undefined {
  const found = fs.statSync(device, { throwIfNoEntry: false })
  if (found === undefined || found.gid === 0) return undefined
  return (found.mode & 0o006) !== 0o006 && (found.mode & 0o060) === 0o060 ? found.gid : undefined
}
