# Detection script for Intune and SCCM: something on standard output and exit code 0 say "installed".
# Not verified on this platform yet.
$Command = Join-Path $env:LOCALAPPDATA "Microsoft\WindowsApps\landfast.cmd"
if (-not (Test-Path $Command)) { exit 1 }
$Said = & $Command version --json 2>$null | Out-String
if ($LASTEXITCODE -ne 0) { exit 1 }
Write-Output "Landfast $(($Said | ConvertFrom-Json).data.landfast)"
exit 0
