<#
.SYNOPSIS
Installs Landfast for this user on Windows: from a checkout and a package index or mirror.

.DESCRIPTION
Not verified on this platform yet. On Windows Landfast profiles, selects and installs; models run under WSL, where
scripts/install.sh is the way. Asks nothing; a second run changes nothing; what works is not replaced by what does not.
Exit codes: 0 done, 2 usage, 5 no package index, 6 altered, 7 disk, 8 engine, 9 not found, 127 no Python.

.EXAMPLE
powershell -ExecutionPolicy RemoteSigned -File scripts\install.ps1 -IndexUrl https://pypi.example.lan/simple
#>
[CmdletBinding()]
param(
    [string]$IndexUrl = "",
    [string]$Proxy = "",
    [string]$Cert = "",
    [switch]$Uninstall,
    [switch]$KeepModels,
    [string]$Receipt = "$HOME\landfast-uninstalled.txt"
)

Set-StrictMode -Version 3
$ErrorActionPreference = "Stop"

$Checkout = Split-Path -Parent $PSScriptRoot
$Prefix = Join-Path $env:LOCALAPPDATA "Programs\Landfast"
$Command = Join-Path $env:LOCALAPPDATA "Microsoft\WindowsApps\landfast.cmd"
$Data = Join-Path $env:LOCALAPPDATA "landfast"

function Stop-With([int]$Code, [string]$Sentence) {
    [Console]::Error.WriteLine("install: $Sentence")
    exit $Code
}

# Windows PowerShell takes a program's first word on standard error for a reason to stop, unless it is told otherwise.
function Invoke-Program([scriptblock]$Work) {
    $ErrorActionPreference = "Continue"
    & $Work
}

function Find-Python {
    $ErrorActionPreference = "Continue"
    foreach ($Words in @(@("py", "-3"), @("python"), @("python3"))) {
        if (-not (Get-Command $Words[0] -ErrorAction SilentlyContinue)) { continue }
        $More = @($Words | Select-Object -Skip 1)
        & $Words[0] @More -I -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>$null
        if ($LASTEXITCODE -eq 0) { return & $Words[0] @More -I -c "import sys; print(sys.executable)" }
    }
    Stop-With 127 "Python 3.11 or newer is needed. Install it with: winget install Python.Python.3.12"
}

# VERSION-HASH: everything that makes one installation differ from another is in the hash.
function Get-VersionName {
    $Found = Select-String -Path (Join-Path $Checkout "deploy\__init__.py") -Pattern '^__version__ = "(.*)"'
    $Locks = Get-ChildItem (Join-Path $Checkout "requirements*.lock") | Sort-Object Name
    $Source = Get-ChildItem (Join-Path $Checkout "deploy"), (Join-Path $Checkout "profiles"), (Join-Path $Checkout "tui") `
        -Recurse -File -Exclude *.pyc | Sort-Object FullName
    $All = ($Locks + $Source | ForEach-Object { (Get-FileHash $_.FullName -Algorithm SHA256).Hash }) -join ""
    $Sum = [BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash([Text.Encoding]::ASCII.GetBytes($All)))
    return "$($Found.Matches[0].Groups[1].Value)-$($Sum.Replace('-', '').Substring(0, 10).ToLower())"
}

function Invoke-Pip([string]$Python, [string]$Log, [string[]]$Words) {
    $ErrorActionPreference = "Continue"
    & $Python -P -m pip install --no-input --disable-pip-version-check --progress-bar=off @Words *>> $Log
    if ($LASTEXITCODE -eq 0) { return }
    $Last = Get-Content $Log -Tail 60 | Out-String
    Get-Content $Log -Tail 15 | ForEach-Object { [Console]::Error.WriteLine($_) }
    if ($Last -match "DO NOT MATCH THE HASHES") { Stop-With 6 "A package is not the one that the lock names; it was not installed." }
    if ($Last -match "No space left") { Stop-With 7 "The disk is full. Free about 2.5 GB, then run this script again." }
    if ($Last -match "Max retries|Could not fetch|from versions: none") { Stop-With 5 "The package index does not answer. Check -IndexUrl, -Proxy and -Cert." }
    if ($Last -match "llama-cpp-python") { Stop-With 8 "The engine could not be built. It needs the C++ build tools of Visual Studio. All of it: $Log" }
    Stop-With 1 "pip could not install. All of it: $Log"
}

function Install-Landfast {
    if (-not (Test-Path (Join-Path $Checkout "requirements.lock"))) { Stop-With 9 "Run this script from a checkout of Landfast." }
    $Python = Find-Python
    $Name = Get-VersionName
    $New = Join-Path $Prefix "versions\$Name"
    $Ready = Join-Path $New ".complete"
    if ((Test-Path $Ready) -and (Test-Path $Command) -and ((Get-Content $Command -Raw) -match [regex]::Escape("versions\$Name\"))) {
        [Console]::Error.WriteLine("Landfast is installed already; nothing was changed.")
        return
    }
    if ($IndexUrl) { $env:PIP_INDEX_URL = $IndexUrl }
    if ($Proxy) { $env:PIP_PROXY = $Proxy }
    if ($Cert) { $env:PIP_CERT = $Cert }
    if (Test-Path $New) { Remove-Item $New -Recurse -Force }
    New-Item -ItemType Directory -Force $New | Out-Null
    $Log = Join-Path $New "install.log"
    Invoke-Program { & $Python -I -m venv $New *>> $Log }
    if ($LASTEXITCODE -ne 0) { Stop-With 1 "The virtual environment could not be made: $Log" }
    $Own = Join-Path $New "Scripts\python.exe"
    Invoke-Pip $Own $Log @("--require-hashes", "-r", (Join-Path $Checkout "requirements-build.lock"))
    Invoke-Pip $Own $Log @("--require-hashes", "--no-build-isolation", "-r", (Join-Path $Checkout "requirements.lock"))
    Invoke-Pip $Own $Log @("--no-index", "--no-deps", "--no-build-isolation", $Checkout)
    Invoke-Program { & (Join-Path $New "Scripts\landfast.exe") version *>> $Log }
    if ($LASTEXITCODE -ne 0) { Stop-With 8 "The new installation does not work here; what was in use before is still in use." }
    New-Item -ItemType File -Force $Ready | Out-Null
    # A user's name may hold letters that a .cmd file cannot: Windows puts it in.
    $Line = "@`"%LOCALAPPDATA%\Programs\Landfast\versions\$Name\Scripts\landfast.exe`" %*"
    Set-Content -Path "$Command.new" -Value $Line -Encoding ascii
    Move-Item "$Command.new" $Command -Force
    Get-ChildItem (Join-Path $Prefix "versions") | Where-Object FullName -ne $New | Sort-Object LastWriteTime -Descending |
        Select-Object -Skip 1 | Remove-Item -Recurse -Force
    [Console]::Error.WriteLine("Landfast is installed in $New; the command is landfast.")
}

function Uninstall-Landfast {
    # A command of that name that somebody else put there stays.
    $Own = (Test-Path $Command) -and ((Get-Content $Command -Raw) -match [regex]::Escape("Programs\Landfast\versions\"))
    $Places = @($Prefix) + $(if ($Own) { @($Command) } else { @() }) + $(if ($KeepModels) { @() } else { @($Data) }) | Where-Object { Test-Path $_ }
    if (-not $Places) { [Console]::Error.WriteLine("Landfast is not installed for this user; nothing was changed."); return }
    $Lines = @("Landfast was removed for $env:USERNAME on $((Get-Date).ToUniversalTime().ToString('s'))Z.", "Removed, with sizes in bytes:")
    $Lines += Get-ChildItem $Places -Recurse -File -Force | ForEach-Object { "$($_.Length)`t$($_.FullName)" }
    Set-Content -Path $Receipt -Value $Lines -Encoding utf8
    $Places | ForEach-Object { Remove-Item $_ -Recurse -Force }
    [Console]::Error.WriteLine("Landfast is removed. The receipt is $Receipt.")
}

if ($Uninstall) { Uninstall-Landfast } else { Install-Landfast }
