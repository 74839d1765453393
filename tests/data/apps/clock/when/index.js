module.exports = (text) => `${text} in ${new Date(0).getUTCFullYear()}`;
