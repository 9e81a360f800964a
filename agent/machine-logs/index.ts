export { type MachineLogPaths, type MachineLogReader, machineLogReader, readPiece } from './read.ts'
