export { nearestName } from './nearest-name.ts'
export { type Complain, parseSettings, type SettingsRules } from './settings-file.ts'
